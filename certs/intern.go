package certs

import (
	"crypto/sha256"
	"crypto/x509"
	"sync"
	"weak"
)

// interns shares what thousands of files have in common: the intermediate
// certificates that each chain repeats, and the CAs that each NAME.ca does.
// It keeps nothing alive. Any goroutine may use it.
type interns struct {
	mu    sync.Mutex
	certs map[[sha256.Size]byte]weak.Pointer[x509.Certificate]
	cas   map[[sha256.Size]byte]weak.Pointer[caSet]
}

func newInterns() *interns {
	return &interns{
		certs: map[[sha256.Size]byte]weak.Pointer[x509.Certificate]{},
		cas:   map[[sha256.Size]byte]weak.Pointer[caSet]{},
	}
}

// certificate parses der, or returns what came of the same bytes before.
func (in *interns) certificate(der []byte) (*x509.Certificate, error) {
	return shared(in, in.certs, sha256.Sum256(der), func() (*x509.Certificate, error) {
		return x509.ParseCertificate(der)
	})
}

// caSet returns the set of system's roots, if they are asked for, and certs.
func (in *interns) caSet(system bool, certs []*x509.Certificate) (*caSet, error) {
	h := sha256.New()
	if system {
		h.Write([]byte(SystemRoots))
	}
	for _, c := range certs {
		h.Write(c.Raw)
	}
	return shared(in, in.cas, [sha256.Size]byte(h.Sum(nil)), func() (*caSet, error) {
		return newCASet(system, certs)
	})
}

// shared looks key up in m and makes what is not there. Two goroutines may
// make the same at once; one result is then used by both.
func shared[T any](in *interns, m map[[sha256.Size]byte]weak.Pointer[T], key [sha256.Size]byte, make func() (*T, error)) (*T, error) {
	in.mu.Lock()
	found := m[key].Value()
	in.mu.Unlock()
	if found != nil {
		return found, nil
	}
	made, err := make()
	if err != nil {
		return nil, err
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if found = m[key].Value(); found != nil {
		return found, nil
	}
	m[key] = weak.Make(made)
	return made, nil
}

// sweep forgets what nobody uses any more.
func (in *interns) sweep() {
	in.mu.Lock()
	defer in.mu.Unlock()
	for key, p := range in.certs {
		if p.Value() == nil {
			delete(in.certs, key)
		}
	}
	for key, p := range in.cas {
		if p.Value() == nil {
			delete(in.cas, key)
		}
	}
}
