package acme

import (
	"context"
	stdtls "crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sync"
	"time"

	"edgepen/certs"

	"github.com/caddyserver/certmagic"
	"golang.org/x/sys/unix"
)

// errUnusable is a stored certificate that cannot be served, as a crash
// between the writing of two files may leave it.
var errUnusable = errors.New("unusable")

// storage is certmagic's directory, files 0600 in directories 0700, with
// flock(2) for its locks: they end with the process, and so do not have to be
// refreshed every few seconds or be waited for after a crash.
type storage struct {
	certmagic.FileStorage
	mu    sync.Mutex
	locks map[string]*os.File
}

var _ certmagic.TryLocker = (*storage)(nil)

// openStorage makes the directory and tries whether it can be written.
func openStorage(dir string) (*storage, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("ACME storage: %w", err)
	}
	probe, err := os.CreateTemp(dir, "probe")
	if err != nil {
		return nil, fmt.Errorf("ACME storage: directory %s: cannot write: %w", dir, err)
	}
	probe.Close()
	os.Remove(probe.Name())
	return &storage{FileStorage: certmagic.FileStorage{Path: dir}, locks: map[string]*os.File{}}, nil
}

// Lock waits for the lock, against other processes too.
func (s *storage) Lock(ctx context.Context, name string) error {
	for {
		if locked, err := s.TryLock(ctx, name); locked || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// TryLock takes the lock if nobody has it.
func (s *storage) TryLock(_ context.Context, name string) (bool, error) {
	dir := filepath.Join(s.Path, "locks")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return false, err
	}
	f, err := os.OpenFile(filepath.Join(dir, certmagic.StorageKeys.Safe(name)+".lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return false, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return false, nil
		}
		return false, fmt.Errorf("locking %s: %w", f.Name(), err)
	}
	s.mu.Lock()
	s.locks[name] = f
	s.mu.Unlock()
	return true, nil
}

// Unlock gives the lock back. Its file stays: to remove it would let two have
// the lock, one on the file that was removed and one on the next.
func (s *storage) Unlock(_ context.Context, name string) error {
	s.mu.Lock()
	f := s.locks[name]
	delete(s.locks, name)
	s.mu.Unlock()
	if f == nil {
		return fmt.Errorf("lock %s is not held", name)
	}
	return f.Close()
}

// certificate reads what the CA named key issued for name: an error of
// fs.ErrNotExist if nothing, of errUnusable if it cannot be served.
func (s *storage) certificate(key, name string) (*certs.Certificate, error) {
	ctx := context.Background()
	chain, err := s.Load(ctx, certmagic.StorageKeys.SiteCert(key, name))
	if err != nil {
		return nil, err
	}
	private, err := s.Load(ctx, certmagic.StorageKeys.SitePrivateKey(key, name))
	if err != nil {
		return nil, err
	}
	pair, err := stdtls.X509KeyPair(chain, private)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnusable, err)
	}
	cert, err := certs.NewCertificate(pair, "acme")
	if err == nil {
		err = cert.Leaf().VerifyHostname(name)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnusable, err)
	}
	return cert, nil
}

// names lists the host names that the CA named key issued something for.
func (s *storage) names(key string) ([]string, error) {
	entries, err := s.List(context.Background(), certmagic.StorageKeys.CertsPrefix(key), false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, entry := range entries {
		if name := path.Base(entry); plain(name) {
			names = append(names, name)
		}
	}
	return names, err
}

// forget removes what is stored for name.
func (s *storage) forget(key, name string) error {
	return s.Delete(context.Background(), certmagic.StorageKeys.CertsSitePrefix(key, name))
}
