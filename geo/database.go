package geo

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/bits"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"
)

// expected ends the errors about what a file has in it.
const expected = "expected a country, city or ASN database in MaxMind's .mmdb format"

// database is one file. The reader walks its search tree; what the walk ends at,
// the offset of a record, leads to the place that the record describes.
type database struct {
	name   string // the path, or builtinName
	kind   string
	built  time.Time
	tree   *maxminddb.Reader
	only4  bool              // the tree has no IPv6 addresses
	global bool              // what it says of addresses of special purpose does not count
	at     map[uint32]uint32 // offset of a record to the index of its place; records with nothing are not in it
	places []Place           // each of them once
	has    Needs
}

// newDatabase reads a file's content, which it keeps and which must not change.
func newDatabase(name string, content []byte) (*database, error) {
	tree, err := maxminddb.OpenBytes(content, maxminddb.DisableStringCache())
	if err != nil {
		return nil, fmt.Errorf("damaged, or no database at all: %v; %s", err, expected)
	}
	db := &database{
		name:  name,
		kind:  printable(tree.Metadata.DatabaseType),
		built: tree.Metadata.BuildTime(),
		tree:  tree,
		only4: tree.Metadata.IPVersion == 4,
		at:    map[uint32]uint32{},
	}
	records, err := recordOffsets(tree.Metadata, content)
	if err != nil {
		return nil, fmt.Errorf("damaged: %v", err)
	}
	if err := db.readPlaces(records); err != nil {
		return nil, fmt.Errorf("damaged: %v", err)
	}
	if db.has == 0 {
		return nil, fmt.Errorf("of the type %q, which has neither countries nor AS numbers, but %s; %s",
			db.kind, contents(tree, records), expected)
	}
	return db, nil
}

// find returns what the database knows of an address, nil for nothing.
func (db *database) find(addr netip.Addr) *Place {
	addr = addr.Unmap()
	if !addr.IsValid() || db.only4 && !addr.Is4() { // the reader would make an error of these
		return nil
	}
	if db.global && special(addr) {
		return nil
	}
	found := db.tree.Lookup(addr)
	if !found.Found() {
		return nil
	}
	i, ok := db.at[uint32(found.Offset())]
	if !ok {
		return nil
	}
	return &db.places[i]
}

// readPlaces decodes every record.
func (db *database) readPlaces(records offsets) error {
	index := map[Place]uint32{}
	for offset := range records.all() {
		p, err := decode(db.tree, offset)
		if err != nil {
			return fmt.Errorf("record at %d: %v", offset, err)
		}
		if p == (Place{}) {
			continue
		}
		i, ok := index[p]
		if !ok {
			i = uint32(len(db.places))
			index[p] = i
			db.places = append(db.places, p)
			db.has |= p.answers()
		}
		db.at[offset] = i
	}
	db.places = slices.Clip(db.places)
	return nil
}

func (p Place) answers() (n Needs) {
	if p.Country != "" {
		n |= Country
	}
	if p.Continent != "" {
		n |= Continent
	}
	if p.ASN != 0 {
		n |= ASN
	}
	return n
}

// offsets is a set of offsets within the data section, a bit for each.
type offsets []uint64

func (o offsets) all() iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for i, word := range o {
			for ; word != 0; word &= word - 1 {
				if !yield(uint32(i*64 + bits.TrailingZeros64(word))) {
					return
				}
			}
		}
	}
}

// recordOffsets returns where the records are, from the search tree. It reads
// the tree as the array that it is (MaxMind DB File Format Specification 2.0,
// "Binary Search Tree Section"), because a walk from the root has no bound in a
// tree whose nodes point back to each other, as a damaged one's may. The content
// is one that the reader has accepted: long enough for the tree.
func recordOffsets(meta maxminddb.Metadata, content []byte) (offsets, error) {
	const separator = 16
	count, size := meta.NodeCount, meta.RecordSize
	if size != 24 && size != 28 && size != 32 {
		return nil, fmt.Errorf("the search tree's records have %d bits; expected 24, 28 or 32", size)
	}
	nodes, data := content[:count*size/4], uint(len(content))-count*size/4
	set := make(offsets, data/64+1)
	last := uint(0) // neighbours often have the same record
	for node := range slices.Chunk(nodes, int(size/4)) {
		left, right := children(node)
		for _, child := range [2]uint{left, right} {
			if child <= count || child == last {
				continue
			}
			offset := child - count - separator
			if child < count+separator || offset >= data {
				return nil, fmt.Errorf("the search tree points to %d, where no record can be", child)
			}
			set[offset/64] |= 1 << (offset % 64)
			last = child
		}
	}
	return set, nil
}

// children returns the two records of a node of 6, 7 or 8 bytes.
func children(node []byte) (left, right uint) {
	switch len(node) {
	case 6:
		left = uint(node[0])<<16 | uint(node[1])<<8 | uint(node[2])
		right = uint(node[3])<<16 | uint(node[4])<<8 | uint(node[5])
	case 7: // the middle byte has the upper four bits of each
		left = uint(node[3]>>4)<<24 | uint(node[0])<<16 | uint(node[1])<<8 | uint(node[2])
		right = uint(node[3]&0x0f)<<24 | uint(node[4])<<16 | uint(node[5])<<8 | uint(node[6])
	case 8:
		left = uint(binary.BigEndian.Uint32(node))
		right = uint(binary.BigEndian.Uint32(node[4:]))
	}
	return left, right
}

// contents says what fields the first record has, for the reader of an error.
func contents(tree *maxminddb.Reader, records offsets) string {
	const enough = 8
	for offset := range records.all() {
		var fields map[string]any
		err := tree.LookupOffset(uintptr(offset)).Decode(&fields)
		if _, wrong := errors.AsType[maxminddb.UnmarshalTypeError](err); wrong {
			return "records that are no maps"
		}
		names := slices.Sorted(maps.Keys(fields))
		if len(names) > enough {
			names = append(names[:enough], "…")
		}
		return "records of " + printable(strings.Join(names, ", "))
	}
	return "no records"
}
