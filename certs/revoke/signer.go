package revoke

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"maps"
	"sync"
	"sync/atomic"
)

// maxSigners bounds the issuers of one name that are remembered for a list.
const maxSigners = 64

var (
	errOtherKey = errors.New("it is by another key of that name (authority key identifier)")
	errKeyUsage = errors.New("the issuer's certificate does not allow it to sign lists (key usage lacks cRLSign)")
)

// signers remembers which issuers' certificates a list was verified with. The
// signature covers all of the list, so that hashing a long one takes longer
// than the rest of a handshake.
type signers struct {
	known atomic.Pointer[map[[32]byte]error]
	mu    sync.Mutex // held while verifying: others wait rather than do the same
}

// verify checks that issuer, of the list's issuer name, made the list: RFC 5280
// section 6.3.3 (f) and (g), the path to the issuer being verified already.
func (l *List) verify(issuer *x509.Certificate) error {
	if theirs, ours := l.header.AuthorityKeyId, issuer.SubjectKeyId; len(theirs) > 0 && len(ours) > 0 && !bytes.Equal(theirs, ours) {
		return errOtherKey
	}
	id := sha256.Sum256(issuer.Raw)
	if err, ok := l.signers.get(id); ok {
		return err
	}
	l.signers.mu.Lock()
	defer l.signers.mu.Unlock()
	if err, ok := l.signers.get(id); ok {
		return err
	}
	err := l.checkSignature(issuer)
	l.signers.put(id, err)
	return err
}

func (l *List) checkSignature(issuer *x509.Certificate) error {
	if issuer.KeyUsage != 0 && issuer.KeyUsage&x509.KeyUsageCRLSign == 0 {
		return errKeyUsage
	}
	return l.header.CheckSignatureFrom(issuer)
}

func (s *signers) get(id [32]byte) (err error, ok bool) {
	known := s.known.Load()
	if known == nil {
		return nil, false
	}
	err, ok = (*known)[id]
	return err, ok
}

// put publishes a copy; the caller holds the lock.
func (s *signers) put(id [32]byte, err error) {
	next := map[[32]byte]error{}
	if known := s.known.Load(); known != nil && len(*known) < maxSigners {
		next = maps.Clone(*known)
	}
	next[id] = err
	s.known.Store(&next)
}
