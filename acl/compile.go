package acl

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"slices"
)

// MaxEntries is how many entries a list may have. What the files of its entries
// hold does not count.
const MaxEntries = 100_000

// Options is what entries need beside a list. The zero Options will do for lists
// of addresses, peers, and what TLS clients say.
type Options struct {
	// Geography is asked about places; nil: there are no databases.
	Geography Geography
	// HasCountry, HasContinent and HasASN say which questions Geography has
	// databases for at all. To compile an entry for which there is none is an error.
	HasCountry, HasContinent, HasASN bool
	// Files finds the content of a file by the path in an entry, as
	// [FileStore.Load] does. nil: there are no files.
	Files func(path string) (*FileSet, error)
}

// Compiled is a list in the form in which it is asked. It does not change, but
// for the counts of its verdicts, and may be asked by many goroutines at the same
// time; nil permits everybody.
type Compiled struct {
	list         List
	permit       []bool // what each entry does
	fallback     bool   // for a client that no entry matches
	unixFallback bool   // for such a client on a Unix socket
	all          int    // the first entry that matches everybody; none if there is none
	v4           table4 // entries with addresses, files and all
	v6           table6
	masks        maskRules
	place        placeRules
	peer         peerRules
	hello        helloRules
	cert         certRules
	files        map[string]*FileSet // by the paths in entries
	hits         hits                // of each entry, then of the default
}

// Compile is CompileWith with countries alone, all of whose codes it believes.
// nil: there is no database.
func Compile(l List, c Countries) (*Compiled, error) {
	if c == nil {
		return CompileWith(l, Options{})
	}
	return CompileWith(l, Options{Geography: onlyCountries{c}, HasCountry: true})
}

// CompileWith makes a list ready to be asked; l must not be changed afterwards.
// It fails, with the entry in the error,
//
//   - if no database can answer what an entry asks: to skip it, as pen does
//     without its database, would let in whom it was written to keep out;
//   - for a country that is neither in ISO 3166 nor in a database;
//   - for a file that cannot be read;
//   - for an entry that [ParseEntry] cannot have made;
//   - if there are more than MaxEntries.
func CompileWith(l List, o Options) (*Compiled, error) {
	if len(l) > MaxEntries {
		return nil, fmt.Errorf("access list with %d entries: expected at most %d; more addresses fit into a file: acl N permit|deny file PATH", len(l), MaxEntries)
	}
	c := compiler{
		files: o.Files,
		Compiled: &Compiled{
			list: l, permit: make([]bool, len(l)), fallback: true, all: none, hits: make(hits, len(l)+1),
			place: newPlaceRules(o), peer: peerRules{first: none}, masks: maskRules{first: none},
			hello: helloRules{first: none, firstJA4: none}, cert: newCertRules(),
		},
	}
	for i, e := range l {
		c.permit[i] = e.Permit
		if err := c.add(e, i); err != nil {
			return nil, fmt.Errorf("acl entry %q %v", e, err)
		}
	}
	if len(l) > 0 {
		c.fallback = !l[len(l)-1].Permit
	}
	c.unixFallback = c.fallback || c.Needs() == Address && c.peer.first == none
	c.Compiled.v4, c.Compiled.v6 = newTable4(c.v4), newTable6(c.v6)
	return c.Compiled, nil
}

// compiler is a list on its way.
type compiler struct {
	*Compiled
	files func(path string) (*FileSet, error)
	v4    []packed // prefixes, with the indices of their entries
	v6    []prefix
}

// add adds an entry. Errors continue a sentence that begins with it.
func (c *compiler) add(e Entry, index int) error {
	switch {
	case e.All:
		c.addPrefix(netip.PrefixFrom(netip.IPv4Unspecified(), 0), index)
		c.addPrefix(netip.PrefixFrom(netip.IPv6Unspecified(), 0), index)
		c.all = min(c.all, index)
	case e.Country != "" || e.Continent != "" || e.ASN != 0:
		return c.place.add(e, index)
	case e.File != "":
		return c.addFile(e.File, index)
	case e.Peer != "":
		return c.peer.add(e, index)
	case e.Cert != "":
		if err := c.cert.add(e, index); err != nil {
			return fmt.Errorf("cannot be asked: %v", err)
		}
	case e.Stage() == Hello:
		c.hello.add(e, index)
	case !e.Addr.IsValid() || e.Addr.BitLen() != e.Mask.BitLen():
		return errors.New("asks for nothing, or for an address and a mask of different families")
	case e.Warning() != "": // matches nobody, and yet may be the last entry
	case !contiguous(e.Mask):
		c.masks.add(e, index)
	default:
		c.addPrefix(netip.PrefixFrom(e.Addr, maskLen(e.Mask)), index)
	}
	return nil
}

func (c *compiler) addPrefix(p netip.Prefix, index int) {
	span := newPrefix(addressOf(p.Addr()), p.Bits(), index)
	if p.Addr().Is4() {
		c.v4 = append(c.v4, span.packed())
		return
	}
	c.v6 = append(c.v6, span)
}

func (c *compiler) addFile(path string, index int) error {
	f := c.Compiled.files[path]
	if f == nil {
		if c.files == nil {
			return errors.New("needs a file, and there are none here")
		}
		var err error
		if f, err = c.files(path); err != nil {
			return fmt.Errorf("cannot be asked: %v", err)
		}
		keepFirst(&c.Compiled.files, path, f)
	}
	c.v4 = slices.Grow(c.v4, len(f.v4))
	for _, p := range f.v4 {
		c.v4 = append(c.v4, p.prefix().tagged(index).packed())
	}
	c.v6 = slices.Grow(c.v6, len(f.v6))
	for _, p := range f.v6 {
		c.v6 = append(c.v6, p.tagged(index))
	}
	return nil
}

// Files are the paths in entries, and what the list was compiled from for each.
// As long as Options.Files has the same sets for them, and the rest is the same,
// there is no need to compile again.
func (l *Compiled) Files() iter.Seq2[string, *FileSet] {
	if l == nil {
		return maps.All[map[string]*FileSet](nil)
	}
	return maps.All(l.files)
}

// address is the first entry that matches by address, place or peer; none if
// there is none.
func (l *Compiled) address(c *Client) int {
	match := l.all
	if c.Addr.IsValid() {
		addr := c.Addr.Unmap().WithZone("")
		if addr.Is4() {
			match = l.masks.earlier(addr, l.v4.find(addr))
		} else {
			match = l.v6.find(addr)
		}
		match = l.place.earlier(addr, match)
	}
	return l.peer.earlier(c, match)
}

// maskRules are the entries whose IPv4 masks have holes, which no range can hold.
type maskRules struct {
	first int // none if there are none
	masks []maskRule
}

// maskRule is one mask: by masked address, the first entry.
type maskRule struct {
	mask  netip.Addr
	first int
	addrs map[netip.Addr]int
}

func (r *maskRules) add(e Entry, index int) {
	r.first = min(r.first, index)
	for i := range r.masks {
		if r.masks[i].mask == e.Mask {
			keepFirst(&r.masks[i].addrs, e.Addr, index)
			return
		}
	}
	r.masks = append(r.masks, maskRule{e.Mask, index, map[netip.Addr]int{e.Addr: index}})
}

// earlier finds the first of these entries that matches, if it stands before
// entry match; otherwise it is match.
func (r *maskRules) earlier(addr netip.Addr, match int) int {
	for i := range r.masks {
		m := &r.masks[i]
		if m.first >= match {
			break
		}
		if i, ok := m.addrs[and(addr, m.mask)]; ok {
			match = min(match, i)
		}
	}
	return match
}
