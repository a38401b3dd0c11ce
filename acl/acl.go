// Package acl decides, by ordered rules, what happens to a client.
//
// A [List] is what the configuration says, as plain data; [Compile] makes of it
// the form that is asked, in a time that hardly grows with the list. The rules
// are those of penctl(1), "acl": the first entry that matches decides, and where
// none matches, the answer is the opposite of the last entry's.
//
// What entries ask about is not all known at once: a client's address is there
// when it connects, what its ClientHello says a little later, its certificate at
// the end of the handshake. A [Stage] is how far a client has come, and
// [Compiled.Decide] answers as early as the order of the entries allows.
package acl

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Entry is one rule of a list: plain, comparable data, made by [ParseEntry].
// Exactly one of All, Country, Addr, SNI, JA4 and Cert is set.
type Entry struct {
	// Permit says what the entry does with the clients it matches.
	Permit bool
	// All matches every client, those on Unix sockets too.
	All bool
	// Country matches the clients of a country: ISO 3166 alpha-2, upper case.
	Country string
	// Addr and Mask, of one family, match the clients whose address, masked,
	// is Addr: taken literally, hence nobody if Addr has bits outside Mask.
	// The ones of an IPv4 mask need not be contiguous.
	Addr, Mask netip.Addr
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

const entryForm = "permit|deny, then ADDRESS [MASK], ADDRESS/LENGTH, country NN, sni NAME, ja4 FINGERPRINT, client_cert FIELD [PATTERN] or all"

// ParseEntry reads the words that follow `acl N` (penctl(1)): permit or deny,
// then one of
//
//	A.B.C.D         one IPv4 address
//	A.B.C.D MASK    a dotted mask
//	A.B.C.D/LENGTH  the same as a prefix
//	V6[/LENGTH]     an IPv6 address or prefix
//	country NN      a country
//	sni NAME        the host named in the ClientHello: NAME, *.NAME or none
//	ja4 FINGERPRINT the ClientHello's JA4 fingerprint
//	client_cert …   the certificate shown; see [CertField]
//	all             everybody
//
// A pattern with blanks in it is one word. An IPv4-mapped IPv6 prefix is the
// IPv4 prefix in it. Errors name the word and what was expected. An entry that pen accepts though it can match nobody is
// accepted here as well; see [Entry.Warning].
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
	switch {
	case kind == "all":
		e.All = true
		return rest, nil
	case kind == "country" || kind == "sni" || kind == "ja4":
		if len(rest) == 0 {
			return nil, missing(kind)
		}
		switch kind {
		case "country":
			e.Country, err = parseCountry(rest[0])
		case "sni":
			e.SNI, err = parseSNI(rest[0])
		case "ja4":
			e.JA4, err = parseJA4(rest[0])
		}
		return rest[1:], err
	case kind == "client_cert":
		return e.parseCert(rest)
	case strings.Contains(kind, ":"):
		e.Addr, e.Mask, err = parseV6(kind)
		return rest, err
	}
	e.Addr, e.Mask, left, err = parseV4(kind, rest)
	return left, err
}

// missing is the error for a kind of entry that ends too soon.
func missing(kind string) error {
	switch kind {
	case "country":
		return errors.New("country without a code: expected two letters, as in country SE")
	case "sni":
		return errors.New("sni without a name: expected a host, *.NAME or none, as in sni www.example.com")
	}
	return errors.New("ja4 without a fingerprint: expected " + ja4Form)
}

func parseCountry(word string) (string, error) {
	code := strings.ToUpper(word)
	if len(code) != 2 || strings.Trim(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return "", fmt.Errorf("country %q is not a code of two letters, as in SE", word)
	}
	return code, nil
}

// parseV4 reads A.B.C.D or A.B.C.D/LENGTH from word, and the mask that may
// follow the former from rest, of which it returns what is left.
func parseV4(word string, rest []string) (addr, mask netip.Addr, left []string, err error) {
	host, length, isPrefix := strings.Cut(word, "/")
	if addr, err = netip.ParseAddr(host); err != nil {
		return addr, mask, rest, fmt.Errorf("%q is not an address, country or all, nor sni, ja4 or client_cert", word)
	}
	if isPrefix {
		if mask, err = parseLength(word, length, 32); err != nil {
			return addr, mask, rest, err
		}
		// pen knows no lengths for IPv4, so no file of old can have this.
		if fixed := and(addr, mask); fixed != addr {
			return addr, mask, rest, fmt.Errorf("%s has bits outside its mask and would match nobody: expected %s/%s", word, fixed, length)
		}
		return addr, mask, rest, nil
	}
	if len(rest) == 0 {
		return addr, maskOf(32, 32), rest, nil
	}
	if mask, err = netip.ParseAddr(rest[0]); err != nil || !mask.Is4() {
		return addr, mask, rest, fmt.Errorf("%q is not a mask: expected four numbers, as in 255.255.255.0", rest[0])
	}
	return addr, mask, rest[1:], nil
}

func parseV6(word string) (addr, mask netip.Addr, err error) {
	host, length, isPrefix := strings.Cut(word, "/")
	if addr, err = netip.ParseAddr(host); err != nil || !addr.Is6() || addr.Zone() != "" {
		return addr, mask, fmt.Errorf("%q is not an IPv6 address or prefix, as in 2001:db8::/32", word)
	}
	mask = maskOf(128, 128)
	if isPrefix {
		if mask, err = parseLength(word, length, 128); err != nil {
			return addr, mask, err
		}
	}
	// Clients with a mapped address count as IPv4, and so must their entries.
	if n := maskLen(mask); addr.Is4In6() && n >= 96 {
		return addr.Unmap(), maskOf(n-96, 32), nil
	}
	return addr, mask, nil
}

func parseLength(word, length string, bits int) (netip.Addr, error) {
	n, err := strconv.ParseUint(length, 10, 8)
	if err != nil || int(n) > bits {
		return netip.Addr{}, fmt.Errorf("%q: prefix length %q is not from 0 to %d", word, length, bits)
	}
	return maskOf(int(n), bits), nil
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
// writes and reads them. A pattern with blanks in it stands in double quotes.
func (e Entry) String() string {
	words := "deny "
	if e.Permit {
		words = "permit "
	}
	switch {
	case e.All:
		return words + "all"
	case e.Country != "":
		return words + "country " + e.Country
	case e.SNI != "":
		return words + "sni " + e.SNI
	case e.JA4 != "":
		return words + "ja4 " + e.JA4
	case e.Pattern != "":
		return words + "client_cert " + string(e.Cert) + " " + quote(e.Pattern)
	case e.Cert != "":
		return words + "client_cert " + string(e.Cert)
	case e.Addr.Is4():
		return words + e.Addr.String() + " " + e.Mask.String()
	}
	return words + e.Addr.String() + "/" + strconv.Itoa(maskLen(e.Mask))
}

// quote makes one word of a pattern, which holds no double quotes, by the rules
// of the configuration file: blanks and # need quotes.
func quote(pattern string) string {
	if strings.ContainsAny(pattern, " \t#") {
		return `"` + pattern + `"`
	}
	return pattern
}
