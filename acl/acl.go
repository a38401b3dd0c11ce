// Package acl decides, by ordered rules, what happens to a client.
//
// A [List] is what the configuration says, as plain data; [CompileWith] makes of
// it the form that is asked, in a time that hardly grows with the list. The rules
// are those of penctl(1), "acl": the first entry that matches decides, and where
// none matches, the answer is the opposite of the last entry's. A list without
// entries permits everybody.
//
// # Stages
//
// What entries ask about is not all known at once: a client's address is there
// when it connects, what its ClientHello says a little later, its certificate at
// the end of the handshake. A [Stage] is how far a client has come, and
// [Compiled.Judge] answers as early as the order of the entries allows: at the
// first stage where no entry that asks about a later one stands before the entry
// that matches.
//
// # What is not known
//
// An address that no database knows is in no country, on no continent and in no
// network, so none of those entries matches it, be they permit or deny, and the
// entries after them decide. "country unknown" matches just these addresses. That
// a database is not there at all is another matter: a list that asks for what no
// database can answer does not compile, since to skip the entry would let in whom
// it was written to keep out.
//
// # Unix sockets
//
// A client on a Unix socket has no address and matches none of the entries about
// one. It is permitted unless the list has an entry that can be about it: uid,
// gid or all, or one about what a TLS client says. Then the list holds for it as
// for everybody: first match, or the opposite of the last entry.
//
// # Files
//
// An entry "file PATH" stands for all addresses in a file, see [ParseFile], which
// a [FileStore] reads and watches. Addresses of entries and files become one
// table, so that it costs the same to ask for one as for a million.
package acl

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Entry is one rule of a list: plain, comparable data, made by [ParseEntry].
// Exactly one of All, Country, Continent, ASN, Addr, File, Peer, SNI, JA4 and
// Cert is set.
type Entry struct {
	// Permit says what the entry does with the clients it matches.
	Permit bool
	// All matches every client, those on Unix sockets too.
	All bool
	// Country matches the clients of a country: ISO 3166 alpha-2 or a code that a
	// database has, upper case; or UnknownCountry.
	Country string
	// Continent matches the clients on a continent: AF, AN, AS, EU, NA, OC or SA.
	Continent string
	// ASN matches the clients in an autonomous system, by its number (RFC 6793).
	ASN uint32
	// Addr and Mask, of one family, match the clients whose address, masked,
	// is Addr: taken literally, hence nobody if Addr has bits outside Mask.
	// The ones of an IPv4 mask need not be contiguous.
	Addr, Mask netip.Addr
	// File matches the clients whose address is in this file: its path, as the
	// administrator wrote it. Which file that is, Options.Files says.
	File string
	// Peer matches the clients on Unix sockets of which this has the value ID.
	Peer PeerField
	ID   uint32
	// SNI matches the clients that name this host in their ClientHello (RFC
	// 6066, section 3): a name in lower case; "*." before a name stands for one
	// label, as in certificates; "none" is a client that names no host.
	SNI string
	// JA4 matches the clients with this fingerprint.
	JA4 string
	// Cert matches the clients whose certificate has Pattern in this field.
	Cert CertField
	// Pattern is what Cert looks for, "" for CertNone and CertAny: 64 hexadecimal
	// digits in lower case for CertSPKI, otherwise a text in which * stands
	// for any text, as the administrator wrote it.
	Pattern string
}

// List is an access list: entries in the order in which they are asked.
type List []Entry

const entryForm = "permit|deny, then ADDRESS [MASK], ADDRESS/LENGTH, country NN|unknown, continent NN, asn N, file PATH, uid N, gid N, sni NAME, ja4 FINGERPRINT, client_cert FIELD [PATTERN] or all"

// ParseEntry reads the words that follow `acl N` (penctl(1)): permit or deny,
// then one of
//
//	A.B.C.D         one IPv4 address
//	A.B.C.D MASK    a dotted mask
//	A.B.C.D/LENGTH  the same as a prefix
//	V6[/LENGTH]     an IPv6 address or prefix
//	country NN      a country, by its code of two letters
//	country unknown the addresses that no database puts in a country
//	continent NN    a continent: AF, AN, AS, EU, NA, OC or SA
//	asn N           an autonomous system, as 64500 or AS64500, from 1 to 4294967295
//	file PATH       the addresses in a file; see [ParseFile]
//	uid N           the user at the other end of a Unix socket, by number
//	gid N           that user's group, by number
//	sni NAME        the host named in the ClientHello: NAME, *.NAME or none
//	ja4 FINGERPRINT the ClientHello's JA4 fingerprint
//	client_cert …   the certificate shown; see [CertField]
//	all             everybody
//
// A pattern or a path with blanks in it is one word. An IPv4-mapped IPv6 prefix
// is the IPv4 prefix in it. Whether there is such a country or such a file is
// for [CompileWith] to say. Errors name the word and what was expected. An entry
// that pen accepts though it can match nobody is accepted here as well; see
// [Entry.Warning].
func ParseEntry(words []string) (Entry, error) {
	if len(words) < 2 {
		return Entry{}, errors.New("acl entry is too short: expected " + entryForm)
	}
	var e Entry
	switch words[0] {
	case "permit":
		e.Permit = true
	case "deny":
	default:
		return Entry{}, fmt.Errorf("acl entry begins with %q: expected permit or deny", words[0])
	}
	rest, err := e.parseKind(words[1], words[2:])
	if err != nil {
		return Entry{}, err
	}
	if len(rest) > 0 {
		return Entry{}, fmt.Errorf("unexpected %q after %q", rest[0], e)
	}
	return e, nil
}

// parseKind reads what the entry asks about; it returns the words after that.
func (e *Entry) parseKind(kind string, rest []string) (left []string, err error) {
	if expected := wanted(kind); expected != "" {
		if len(rest) == 0 {
			return nil, fmt.Errorf("%s without %s", kind, expected)
		}
		return rest[1:], e.parseValue(kind, rest[0])
	}
	switch {
	case kind == "all":
		e.All = true
		return rest, nil
	case kind == "client_cert":
		return e.parseCert(rest)
	case strings.Contains(kind, ":"):
		e.Addr, e.Mask, err = parseV6(kind)
		return rest, err
	}
	e.Addr, e.Mask, left, err = parseV4(kind, rest)
	return left, err
}

// wanted says what the kinds of entries with one word after them expect there;
// it is "" for the other kinds.
func wanted(kind string) string {
	switch kind {
	case "country":
		return "a code: expected two letters, as in country SE, or unknown"
	case "continent":
		return "a code: expected " + continentForm
	case "asn":
		return "a number: expected that of an autonomous system, as in asn 64500"
	case "file":
		return "a path: expected a file with addresses, one a line"
	case "uid", "gid":
		return "a number: expected one, as in " + kind + " 1000"
	case "sni":
		return "a name: expected a host, *.NAME or none, as in sni www.example.com"
	case "ja4":
		return "a fingerprint: expected " + ja4Form
	}
	return ""
}

// parseValue reads the word after one of the kinds that wanted knows.
func (e *Entry) parseValue(kind, word string) (err error) {
	switch kind {
	case "country":
		e.Country, err = parseCountry(word)
	case "continent":
		e.Continent, err = parseContinent(word)
	case "asn":
		e.ASN, err = parseASN(word)
	case "file":
		e.File, err = parsePath(word)
	case "uid", "gid":
		e.Peer = PeerField(kind)
		e.ID, err = parseID(kind, word)
	case "sni":
		e.SNI, err = parseSNI(word)
	case "ja4":
		e.JA4, err = parseJA4(word)
	}
	return err
}

// Warning says what is odd about the entry, "" if nothing is: that it can match
// nobody, since its address has bits outside its mask.
func (e Entry) Warning() string {
	if !e.Addr.IsValid() || and(e.Addr, e.Mask) == e.Addr {
		return ""
	}
	fixed := e
	fixed.Addr = and(e.Addr, e.Mask)
	return fmt.Sprintf("acl entry %q matches nobody, since the address has bits outside its mask: perhaps %q was meant", e, fixed)
}

// String is the words that [ParseEntry] reads back, in the form in which pen
// writes and reads them. A pattern or a path with blanks in it stands in double
// quotes.
func (e Entry) String() string {
	if e.Permit {
		return "permit " + e.about()
	}
	return "deny " + e.about()
}

// about is what the entry asks about, in the configuration's words.
func (e Entry) about() string {
	switch {
	case e.All:
		return "all"
	case e.Country != "":
		return "country " + e.Country
	case e.Continent != "":
		return "continent " + e.Continent
	case e.ASN != 0:
		return "asn " + strconv.FormatUint(uint64(e.ASN), 10)
	case e.File != "":
		return "file " + quote(e.File)
	case e.Peer != "":
		return string(e.Peer) + " " + strconv.FormatUint(uint64(e.ID), 10)
	case e.SNI != "":
		return "sni " + e.SNI
	case e.JA4 != "":
		return "ja4 " + e.JA4
	case e.Pattern != "":
		return "client_cert " + string(e.Cert) + " " + quote(e.Pattern)
	case e.Cert != "":
		return "client_cert " + string(e.Cert)
	case e.Addr.Is4():
		return e.Addr.String() + " " + e.Mask.String()
	}
	return e.Addr.String() + "/" + strconv.Itoa(maskLen(e.Mask))
}

// quote makes one word of a text that holds no double quotes, by the rules of
// the configuration file: blanks and # need quotes.
func quote(text string) string {
	if strings.ContainsAny(text, " \t#") {
		return `"` + text + `"`
	}
	return text
}
