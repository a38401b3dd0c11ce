package proxy

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"edgepen/certs"
	"edgepen/certs/ech"
	"edgepen/certs/revoke"
	"edgepen/certs/staple"
	"edgepen/proxy/backend"
	"edgepen/proxy/h2"
	"edgepen/proxy/h2client"
	"edgepen/proxy/h3"
	"edgepen/tls"
	"edgepen/tls/upstream"
)

// loadCertificates reads what has changed of the certificates and makes the profile of the handshakes to come.
func (s *snapshot) loadCertificates(p *Proxy, old *snapshot) error {
	if !s.hasTLS() {
		return s.TLS.Check()
	}
	options := s.tlsOptions()
	if old.profile != nil && s.Certificates.Equal(old.Certificates) && options == old.tlsOptions() && s.ECHName == old.ECHName &&
		s.usesACME() == old.usesACME() {
		s.profile, s.certs = old.profile, old.certs
		return nil
	}
	source, err := s.withECHKeys(p.rehearsing, p.now.Load())
	if err != nil {
		return err
	}
	set, err := p.store.Load(source, time.Now())
	if err != nil {
		return err
	}
	s.certs = set
	material := tls.Material{Set: set, Validation: p.acme.validation}
	if s.usesACME() || s.Certificates.Empty() { // empty: all there is to do may be to pass clients on
		material.More, material.Obtain = p.acme.forName, p.acme.obtain
	}
	s.profile, err = tls.NewProfile(material, options)
	return err
}

// tlsOptions are the options with what the mode adds.
func (s *snapshot) tlsOptions() tls.Options {
	o := s.TLS
	if s.HTTP {
		o.ALPN = "http/1.1"
		if s.HTTP2 {
			o.ALPN = h2.Protocol + ",http/1.1"
		}
	}
	return o
}

// withECHKeys are the files to read, once the one of ECH keys has been made, where a public name asks for keys and there are none. In a
// rehearsal it is not made, and so is not among them. Keys that were in use and are gone are not replaced: clients have learned of them by DNS.
func (s *snapshot) withECHKeys(rehearsing bool, running *snapshot) (certs.Source, error) {
	source := s.Certificates
	if s.ECHName == "" {
		return source, nil
	}
	if source.ECHKeys == "" {
		return source, errors.New("an ECH name (--ech-name) needs a file for the keys that are made: --ech-keys FILE")
	}
	if _, err := os.Stat(source.ECHKeys); !errors.Is(err, fs.ErrNotExist) {
		return source, nil
	}
	if running != nil && running.ECHName == s.ECHName && running.Certificates.ECHKeys == source.ECHKeys {
		return source, nil // it is missed when it is read
	}
	if rehearsing {
		_, err := ech.Generate(s.ECHName, 0)
		source.ECHKeys = ""
		return source, err
	}
	_, err := ech.Rotate(source.ECHKeys, s.ECHName, echKept)
	return source, err
}

// echKept is how many ECH keys are kept: the one that clients are told of, and those that they may have learned of before.
const echKept = 3

// asksForCertificates reports whether clients are asked for certificates.
func (s *snapshot) asksForCertificates() bool {
	return s.TLS.ClientAuth == "optional" || s.TLS.ClientAuth == "required"
}

// warnings are remarks for the operator about certificates and TLS, and about what has no effect.
func (s *snapshot) warnings() (all []string) {
	all = append(s.idle(), s.placeless()...)
	if !s.asksForCertificates() && len(s.Certificates.CRLs)+len(s.DeniedCerts) > 0 {
		all = append(all, "revocation lists (crl) and denials (client_deny) have no effect: clients are asked for no certificate (--client-auth, -R)")
	}
	if s.AccessLog != "" && (s.UDP || s.DSRInterface != "") {
		all = append(all, "the access log (access_log) is of connections and their requests: it will have no line of datagrams or frames")
	}
	if s.profile != nil {
		all = append(all, s.profile.Warnings()...)
	}
	if s.upstream != nil {
		all = append(all, s.upstream.Warnings()...)
	}
	return all
}

// notices are what is accepted of the TLS settings without effect, of which one word is enough; s may be nil.
func (s *snapshot) notices() []string {
	if s == nil || s.profile == nil {
		return nil
	}
	return s.profile.Notices()
}

// keepCertificates tells those who look after the certificates what there is to look after.
func (p *Proxy) keepCertificates(s *snapshot) {
	p.revocation.Use(s.revocation)
	if s.profile == nil {
		p.staples.Keep(nil, false)
		return
	}
	p.terminator.Use(s.profile)
	p.keepStaples(s)
}

// ruleOnRevocation makes the rules that belong to the CAs of the profile: whoever was let in by the one is never held against others.
func (s *snapshot) ruleOnRevocation() error {
	var lists []*revoke.List
	if s.certs != nil {
		lists = s.certs.Revoked
	}
	policy := s.CRL
	if !s.asksForCertificates() || !policy.Fetch && len(lists) == 0 {
		policy.Mode = revoke.Off // there is nothing to ask
	}
	s.revocation = revoke.NewRules(lists, s.DeniedCerts, policy)
	return nil
}

// keepStaples has OCSP responses kept for all certificates.
func (p *Proxy) keepStaples(s *snapshot) {
	var kept []staple.Certificate
	for _, c := range p.allCertificates(s) {
		kept = append(kept, staple.Certificate{Leaf: c.Leaf(), Issuer: c.Issuer(), Given: c.Response, From: c.ResponseFile, Set: c.SetStaple})
	}
	p.staples.Keep(kept, s.OCSPFetch)
}

// obtained has OCSP responses kept for what was obtained by ACME, too.
func (p *Proxy) obtained() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.now.Load(); s.certs != nil {
		p.keepStaples(s)
	}
}

// watchLoop reads certificates again when their files have changed, until the proxy closes.
func (p *Proxy) watchLoop() {
	const pause = time.Second // how soon a change of the interval is noticed
	t := time.NewTicker(pause)
	defer t.Stop()
	last, changing := time.Now(), false
	var warned time.Time
	for {
		select {
		case <-p.alive.Done():
			return
		case now := <-t.C:
			if now.Sub(warned) >= expiryPause {
				warned = now
				p.warnOfExpiry(now)
			}
			every := p.now.Load().Watch
			if every <= 0 || now.Sub(last) < every && !changing {
				continue
			}
			last = now
			changing = p.lookAtFiles(changing)
		}
	}
}

// expiryPause is how often it is said that a certificate is about to end; soon is when.
const (
	expiryPause = 24 * time.Hour
	soon        = 14 * 24 * time.Hour
)

// warnOfExpiry names the certificates that end soon: within a fortnight, or the last quarter of their life if that is shorter.
func (p *Proxy) warnOfExpiry(now time.Time) {
	s := p.now.Load()
	if s.certs == nil {
		return
	}
	for _, c := range p.allCertificates(s) {
		leaf := c.Leaf()
		if left := leaf.NotAfter.Sub(now); left < min(soon, leaf.NotAfter.Sub(leaf.NotBefore)/4) {
			p.log.Warn("a certificate ends soon", "names", strings.Join(c.Names, " "), "source", c.Source, "end", leaf.NotAfter.UTC().Format(time.DateTime))
		}
	}
}

// lookAtFiles reads certificates again a look after their files have changed: who writes a certificate and its key writes one after the
// other. It reports whether they have just changed.
func (p *Proxy) lookAtFiles(changing bool) bool {
	if !p.stale.Load() && !p.store.Changed() && !p.upstreamStore.Changed() && !p.geo.Changed() && !p.listFiles.Changed() {
		return false
	}
	if !changing {
		return true
	}
	if err := p.Refresh(); err != nil {
		p.log.Error("files have changed and cannot be used; all goes on with the former ones", "why", err)
	} else {
		p.log.Info("files have changed and were read again")
	}
	return false
}

// Refresh reads certificates, keys, CAs, revocation lists, OCSP responses, session ticket keys and ECH keys again, all or nothing. What has
// not changed on disk is not read.
func (p *Proxy) Refresh() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.now.Load()
	if p.closed || old == nil {
		return nil
	}
	p.stale.Store(false)
	without := *old // without databases no list counts as it was, so that the files of lists are looked at too
	without.profile, without.upstream, without.geo = nil, nil, nil
	next, err := p.compile(p.config, &without, false, p.resolver(old, false))
	if err != nil {
		return err
	}
	p.publish(next)
	return nil
}

// RotateECH makes a new ECH key, which clients are told of from now on; the former ones are still understood.
func (p *Proxy) RotateECH() error {
	s := p.now.Load()
	if s == nil || s.ECHName == "" {
		return errors.New("there are no ECH keys of ours to rotate: --ech-name NAME --ech-keys FILE")
	}
	if _, err := ech.Rotate(s.Certificates.ECHKeys, s.ECHName, echKept); err != nil {
		return err
	}
	return p.Refresh()
}

// ECHRecords are the HTTPS resource records (RFC 9460) to publish, a line for each name that certificates are served for.
func (d *Draft) ECHRecords() []string {
	s := d.proxy.now.Load()
	if s == nil || s.certs == nil || len(s.certs.ECH) == 0 {
		return nil
	}
	alpn := []string(nil)
	if s.HTTP {
		alpn = strings.Split(s.tlsOptions().ALPN, ",")
		if s.HTTP3 {
			alpn = append([]string{h3.Protocol}, alpn...)
		}
	}
	var records []string
	for _, c := range d.proxy.allCertificates(s) {
		for _, name := range c.Names {
			record := ech.Record(s.certs.ECH, name, s.tlsPort(), alpn)
			if name[0] != '*' && name != s.certs.ECH[0].PublicName && !slices.Contains(records, record) {
				records = append(records, record)
			}
		}
	}
	return records
}

// WithoutECH says why there are no ECHRecords.
func (d *Draft) WithoutECH() string {
	switch s := d.proxy.now.Load(); {
	case s == nil:
		return "nothing runs yet"
	case s.certs == nil || len(s.certs.ECH) == 0:
		return "there are no keys for Encrypted Client Hello (ech_keys)"
	}
	return "they are for names that certificates hold, but for the public name and those with *, and no certificate holds any other"
}

// CertificateStatus is a certificate that clients are shown.
type CertificateStatus struct {
	Names    []string
	Leaf     *x509.Certificate
	Source   string // file, "self-signed" or "acme"
	Stapling string // what becomes of its OCSP response
}

// ShownCertificates lists the certificates that clients are shown.
func (d *Draft) ShownCertificates() []CertificateStatus {
	p := d.proxy
	s := p.now.Load()
	if s == nil || s.certs == nil {
		return nil
	}
	var all []CertificateStatus
	for _, c := range p.allCertificates(s) {
		all = append(all, CertificateStatus{c.Names, c.Leaf(), c.Source, p.staples.Status(c.Leaf())})
	}
	return all
}

func (p *Proxy) allCertificates(s *snapshot) []*certs.Certificate {
	return slices.Concat(s.certs.All(), p.acme.all())
}

// CertificateFiles lists every file and directory of certificates and their like that was looked at last, for whoever checks whether a reload
// could read them.
func (p *Proxy) CertificateFiles() []string {
	return append(p.store.Files(), p.upstreamStore.Files()...)
}

// Revocations describes the revocation lists that client certificates are held against, a line each.
func (d *Draft) Revocations() []string { return d.proxy.revocation.Describe(time.Now()) }

// loadUpstream makes what TLS to the servers goes by.
func (s *snapshot) loadUpstream(p *Proxy, old *snapshot) error {
	o := s.upstreamOptions()
	if !o.On {
		return nil
	}
	if old.upstream != nil && o == old.upstreamOptions() {
		s.upstream, s.inside = old.upstream, old.inside
		return nil
	}
	source := certs.Source{CAFile: o.CAFile, CADir: o.CADir}
	if o.Cert != "" {
		source.Certs = []string{o.Cert}
	}
	if o.Key != "" {
		source.Keys = []string{o.Key}
	}
	set, err := p.upstreamStore.Load(source, time.Now())
	if err != nil {
		return fmt.Errorf("TLS to the servers: %v", err)
	}
	s.inside = set
	if running := p.now.Load(); running != nil && running.upstream != nil && o == running.upstreamOptions() && sameInside(set, running.inside) {
		s.upstream = running.upstream // with the sessions that servers can resume
		return nil
	}
	m := upstream.Material{Roots: set.CAs}
	if len(set.Default) > 0 {
		m.Certificate = set.Default[0].TLS()
	}
	if s.upstream, err = upstream.New(o, m); err != nil {
		return fmt.Errorf("TLS to the servers: %v", err)
	}
	return nil
}

// upstreamOptions is how TLS is spoken with the servers, and what over it.
func (c *Config) upstreamOptions() upstream.Options {
	o := c.Upstream
	if o.On && c.http2ToServers() {
		o.ALPN = h2client.Protocol
	}
	return o
}

// sameInside reports whether two sets come to the same for TLS to the servers.
func sameInside(a, b *certs.Set) bool { return a.CAs == b.CAs && slices.Equal(a.Default, b.Default) }

// checkServerNames refuses servers that could never be verified.
func (s *snapshot) checkServerNames() error {
	if s.upstream == nil {
		return nil
	}
	for _, srv := range slices.Concat(s.Servers, []backend.Spec{s.Emergency, s.Abuse}) {
		if srv.Address == "" {
			continue
		}
		if err := s.upstream.CheckName(srv.Address); err != nil {
			return fmt.Errorf("TLS to the servers: %s: %v (--backend-name)", srv.Address, err)
		}
	}
	return nil
}

// runKeepers starts what looks after certificates and servers in the background.
func (p *Proxy) runKeepers() {
	for _, run := range []func(context.Context){p.revocation.Run, p.staples.Run, p.health.Run} {
		p.running.Go(func() { run(p.alive) })
	}
	p.running.Go(func() { p.tarpit.run(p.alive) })
	p.running.Go(func() { p.acme.run(p.alive, p.obtained) })
	p.running.Go(p.watchLoop)
}
