package revoke

import (
	"encoding/asn1"
	"errors"
	"fmt"
	"hash/maphash"
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// index finds an entry by its serial number. It is a hash table with open
// addressing, at most half full, of offsets into the list's own bytes: 8 to 16
// bytes an entry, and no object for the garbage collector to follow.
type index struct {
	raw   cryptobyte.String // the entries, one after the other
	slots []uint32          // offset of an entry + 1; 0: free
	seed  maphash.Seed
	count int
}

// entry is one revoked certificate as the list has it.
type entry struct {
	serial     cryptobyte.String // content of the INTEGER
	date       cryptobyte.String // UTCTime or GeneralizedTime, whole
	extensions cryptobyte.String
}

// newIndex checks every entry and makes the table.
func newIndex(raw cryptobyte.String) (index, error) {
	ix := index{raw: raw, seed: maphash.MakeSeed()}
	for rest := raw; !rest.Empty(); ix.count++ {
		e, ok := nextEntry(&rest)
		if !ok {
			return index{}, fmt.Errorf("entry %d is malformed", ix.count+1)
		}
		if err := e.check(); err != nil {
			return index{}, fmt.Errorf("entry %d (serial %x): %w", ix.count+1, []byte(e.serial), err)
		}
	}
	if ix.count == 0 {
		return ix, nil
	}
	size := 2
	for size < 2*ix.count {
		size *= 2
	}
	ix.slots = make([]uint32, size)
	for rest := raw; !rest.Empty(); {
		offset := len(raw) - len(rest)
		e, _ := nextEntry(&rest)
		if slot, _, found := ix.find(e.serial); !found {
			ix.slots[slot] = uint32(offset) + 1
		}
	}
	return ix, nil
}

// find looks a serial number up, and says in which slot it is or would go.
func (ix *index) find(serial []byte) (slot int, e entry, found bool) {
	if len(ix.slots) == 0 {
		return 0, entry{}, false
	}
	mask := len(ix.slots) - 1
	for slot = int(maphash.Bytes(ix.seed, serial)) & mask; ix.slots[slot] != 0; slot = (slot + 1) & mask {
		rest := ix.raw[ix.slots[slot]-1:]
		e, _ = nextEntry(&rest)
		if string(e.serial) == string(serial) {
			return slot, e, true
		}
	}
	return slot, entry{}, false
}

// nextEntry takes the next entry off s.
func nextEntry(s *cryptobyte.String) (e entry, ok bool) {
	var fields cryptobyte.String
	if !s.ReadASN1(&fields, cbasn1.SEQUENCE) || !fields.ReadASN1(&e.serial, cbasn1.INTEGER) {
		return e, false
	}
	if !isTime(fields) || !fields.ReadASN1Element(&e.date, cbasn1.Tag(fields[0])) {
		return e, false
	}
	if !fields.ReadOptionalASN1(&e.extensions, nil, cbasn1.SEQUENCE) {
		return e, false
	}
	return e, fields.Empty() && minimal(e.serial)
}

// minimal reports whether b is an INTEGER's only encoding in DER, without
// which equal numbers would not be equal bytes.
func minimal(b []byte) bool {
	if len(b) < 2 {
		return len(b) == 1
	}
	return !(b[0] == 0 && b[1] < 0x80 || b[0] == 0xff && b[1] >= 0x80)
}

// check refuses what makes the whole list unusable. RFC 5280 section 5.3: a
// list with a critical entry extension that is not understood must not be used
// for any certificate.
func (e entry) check() error {
	for rest := e.extensions; !rest.Empty(); {
		x, ok := nextExtension(&rest)
		if !ok {
			return errors.New("malformed extension")
		}
		switch string(x.id) {
		case oidCertificateIssuer:
			return errIndirect
		case oidReasonCode:
			code, ok := x.reason()
			if !ok {
				return errors.New("malformed reason code")
			}
			if code == removeFromCRL {
				return errors.New("reason removeFromCRL, which only delta lists have")
			}
		case oidInvalidityDate:
		default:
			if x.critical {
				return fmt.Errorf("critical extension %s is not known", dotted(x.id))
			}
		}
	}
	return nil
}

// reason says in words why the certificate was revoked.
func (e entry) reason() string {
	for rest := e.extensions; !rest.Empty(); {
		x, ok := nextExtension(&rest)
		if !ok {
			break
		}
		if string(x.id) == oidReasonCode {
			code, _ := x.reason()
			return reasonName(code)
		}
	}
	return reasonName(0)
}

// removeFromCRL takes an entry of the base list back (RFC 5280 section 5.3.1).
const removeFromCRL = 8

// reasonName is the name that RFC 5280 section 5.3.1 gives a reason.
func reasonName(code int) string {
	names := [...]string{"unspecified", "keyCompromise", "cACompromise", "affiliationChanged", "superseded",
		"cessationOfOperation", "certificateHold", "", "removeFromCRL", "privilegeWithdrawn", "aACompromise"}
	if code < 0 || code >= len(names) || names[code] == "" {
		return fmt.Sprintf("reason %d", code)
	}
	return names[code]
}

// when is the revocation date; zero if it is not a date, which does not make
// the certificate any less revoked.
func (e entry) when() time.Time {
	var t time.Time
	if rest, err := asn1.Unmarshal(e.date, &t); err != nil || len(rest) > 0 {
		return time.Time{}
	}
	return t
}

// extension is one extension of an entry.
type extension struct {
	id, value cryptobyte.String
	critical  bool
}

// nextExtension takes the next extension off s.
func nextExtension(s *cryptobyte.String) (x extension, ok bool) {
	var fields cryptobyte.String
	if !s.ReadASN1(&fields, cbasn1.SEQUENCE) || !fields.ReadASN1(&x.id, cbasn1.OBJECT_IDENTIFIER) {
		return x, false
	}
	if fields.PeekASN1Tag(cbasn1.BOOLEAN) && !fields.ReadASN1Boolean(&x.critical) {
		return x, false
	}
	return x, fields.ReadASN1(&x.value, cbasn1.OCTET_STRING) && fields.Empty()
}

// reason reads the value of a reason code.
func (x extension) reason() (code int, ok bool) {
	value := x.value
	return code, value.ReadASN1Enum(&code) && value.Empty()
}

// dotted prints an object identifier's content as 1.2.3.
func dotted(content []byte) string {
	var id asn1.ObjectIdentifier
	if len(content) > 127 {
		return "(too long)"
	}
	if _, err := asn1.Unmarshal(append([]byte{byte(cbasn1.OBJECT_IDENTIFIER), byte(len(content))}, content...), &id); err != nil {
		return "(malformed)"
	}
	return id.String()
}

// serialBuffer holds the INTEGER of a serial number; RFC 5280 section 4.1.2.2
// allows 20 bytes.
type serialBuffer [64]byte

// put encodes n as the content of an INTEGER, in the buffer if it fits.
func (b *serialBuffer) put(n *big.Int) []byte {
	if n.Sign() < 0 || n.BitLen() >= 8*len(b) {
		whole, _ := asn1.Marshal(n)
		var content cryptobyte.String
		s := cryptobyte.String(whole)
		s.ReadASN1(&content, cbasn1.INTEGER)
		return content
	}
	n.FillBytes(b[:])
	return b[len(b)-n.BitLen()/8-1:]
}
