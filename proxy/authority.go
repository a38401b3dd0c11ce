package proxy

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"edgepen/certs"
	"edgepen/certs/acme"
)

// authority is where certificates are obtained (ACME), once the configuration has asked for one; before, it has none and
// answers nobody.
type authority struct {
	log     *slog.Logger
	manager atomic.Pointer[acme.Manager]
	running chan struct{} // closed when there is a manager to run

	files kept // the key of the external account, and what the authority's own server is verified against
}

// kept is files as they were read last: by root, perhaps, and out of reach since (-u, -j). Every one that was named stays, for an update
// that fails goes back to the one before.
type kept map[string]string

func (k kept) read(path string) (string, error) {
	content, err := readSmall(path)
	if err == nil {
		k[path] = content
		return content, nil
	}
	if had, ok := k[path]; ok {
		return had, nil
	}
	return "", err
}

// readSmall reads a regular file of at most maxSmall bytes. A pipe would block for ever, and everybody who waits for the lock.
func readSmall(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() || info.Size() > maxSmall {
		return "", fmt.Errorf("%s: expected a regular file of at most %d bytes", path, maxSmall)
	}
	content, err := io.ReadAll(io.LimitReader(f, maxSmall))
	return string(content), err
}

// maxSmall is more than keys and roots need.
const maxSmall = 4 << 20

func newAuthority(log *slog.Logger) *authority {
	return &authority{log: log, running: make(chan struct{}), files: kept{}}
}

// use puts a configuration into force. An error changes nothing. The caller holds the proxy's lock.
func (a *authority) use(c *Config) error {
	wanted, err := a.wanted(c)
	if err != nil {
		return err
	}
	m := a.manager.Load()
	switch {
	case m != nil:
		return m.Update(wanted)
	case wanted.Empty():
		return nil
	}
	if m, err = acme.New(wanted, a.log); err != nil {
		return err
	}
	a.manager.Store(m)
	close(a.running)
	return nil
}

// wanted is the configuration as package acme takes it. The caller holds the proxy's lock.
func (a *authority) wanted(c *Config) (acme.Config, error) {
	wanted := c.ACME.Clone()
	wanted.HTTPAvailable = c.redirects()
	if wanted.Empty() {
		return wanted, nil
	}
	var err error
	if wanted.CARoots != "" {
		if wanted.CARootsPEM, err = a.files.read(wanted.CARoots); err != nil {
			return wanted, fmt.Errorf("ACME CA's roots: %v", err)
		}
	}
	if c.ACMESecretFile != "" {
		secret, err := a.files.read(c.ACMESecretFile)
		if err != nil {
			return wanted, fmt.Errorf("ACME: the file with the key of the external account cannot be read: %v", err)
		}
		wanted.EABSecret = strings.TrimSpace(secret)
	}
	return wanted, wanted.Check()
}

// run obtains and renews until ctx is done. changed is called when there are other certificates.
func (a *authority) run(ctx context.Context, changed func()) {
	select {
	case <-ctx.Done():
		return
	case <-a.running:
	}
	m := a.manager.Load()
	var told sync.WaitGroup
	told.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-m.Changed():
				changed()
			}
		}
	})
	m.Run(ctx)
	told.Wait()
}

func (a *authority) pending() bool {
	m := a.manager.Load()
	return m != nil && m.Pending()
}

// answer is the answer to a validation by http-01 that is pending.
func (a *authority) answer(host, path string) (string, bool) {
	if !a.pending() {
		return "", false
	}
	return a.manager.Load().HTTPToken(host, path)
}

// validation is the answer to a validation by tls-alpn-01 that is pending.
func (a *authority) validation(name string) *certs.KeyPair {
	if !a.pending() {
		return nil
	}
	return a.manager.Load().ALPN(name)
}

func (a *authority) forName(name string) []*certs.Certificate {
	if m := a.manager.Load(); m != nil {
		return m.ForName(name)
	}
	return nil
}

func (a *authority) obtain(ctx context.Context, name string) []*certs.Certificate {
	if m := a.manager.Load(); m != nil {
		return m.Obtain(ctx, name)
	}
	return nil
}

func (a *authority) all() []*certs.Certificate {
	if m := a.manager.Load(); m != nil {
		return m.All()
	}
	return nil
}

// ACMEStatus says how far the certificates by ACME are.
func (d *Draft) ACMEStatus() []acme.Status {
	if m := d.proxy.acme.manager.Load(); m != nil {
		return m.Status()
	}
	return nil
}
