package certs

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// The roles of files, as errors name them.
const (
	roleCert     = "certificate"
	roleKey      = "key"
	roleCA       = "CA file"
	roleCADir    = "CA directory"
	roleSNI      = "certificate directory"
	roleResponse = "OCSP response"
	roleCRL      = "revocation list"
	roleTicket   = "ticket key file"
	roleECH      = "ECH key file"
)

// loading is one Load.
type loading struct {
	disk
	interns *interns
	now     time.Time
	old     memory // only read

	mu   sync.Mutex // guards what follows: SNIPath is read by several goroutines
	next memory
	seen map[string]stamp
}

func (l *loading) load(src Source) (*Set, error) {
	if err := src.check(); err != nil {
		return nil, err
	}
	for _, path := range src.Paths() {
		l.look(path)
	}
	cas, caFiles, err := l.loadCAs(src)
	if err != nil {
		return nil, err
	}
	own, warnings, err := l.loadOwn(src, cas)
	if err != nil {
		return nil, err
	}
	byPath, more, err := l.loadSNI(src, cas)
	if err != nil {
		return nil, err
	}
	set := &Set{}
	if set.Warnings, err = l.loadOthers(set, src); err != nil {
		return nil, err
	}
	set.index(own, byPath)
	if cas != nil {
		set.CAs, set.CACount = cas.pool, len(cas.all)
	}
	for _, c := range set.all {
		warnings = append(warnings, c.remarks(l.now)...)
	}
	warnings = append(warnings, more...)
	warnings = append(warnings, caWarnings(caFiles, l.now)...)
	set.Warnings = limitWarnings(append(warnings, set.Warnings...))
	return set, nil
}

// look returns the stamp of path. The first look of a Load counts, which is
// before anything is read: what changes after it will be seen as changed.
func (l *loading) look(path string) stamp {
	l.mu.Lock()
	at, ok := l.seen[path]
	l.mu.Unlock()
	if ok {
		return at
	}
	at = l.stat(path)
	l.mu.Lock()
	defer l.mu.Unlock()
	if first, ok := l.seen[path]; ok {
		return first
	}
	l.seen[path] = at
	return at
}

// recall returns what parse made of the file before, or reads the file and
// has parse make it, where it is new or has changed.
func recall[T any](l *loading, role, path string, parse func(file) (T, error)) (T, error) {
	at, key := l.look(path), fileKey{role, path}
	if k, ok := l.old.files[key]; ok && k.stamp == at {
		return remember(l, key, at, k.value.(T)), nil
	}
	l.mu.Lock()
	k, ok := l.next.files[key]
	l.mu.Unlock()
	if ok {
		return k.value.(T), nil
	}
	var none T
	limit := int64(maxFile)
	if role == roleCRL {
		limit = maxCRL
	}
	f, err := l.read(role, path, limit)
	if err != nil {
		return none, err
	}
	if int64(len(f.data)) > limit {
		return none, fmt.Errorf("%s %s is larger than %d bytes; expected %s", role, path, limit, kindOf(role))
	}
	value, err := parse(f)
	if err != nil {
		return none, err
	}
	return remember(l, key, at, value), nil
}

// remember keeps value for the next Load.
func remember[T any](l *loading, key fileKey, at stamp, value T) T {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next.files[key] = known{at, value}
	return value
}

// loadOwn reads Certs and Keys, or makes the self-signed certificate.
func (l *loading) loadOwn(src Source, cas *caSet) ([]*Certificate, []string, error) {
	if src.SelfSigned != "" {
		c, err := l.selfSigned(src.SelfSigned)
		return []*Certificate{c}, nil, err
	}
	var pool []*privateKey
	var warnings []string
	for _, path := range distinct(src.Keys) {
		m, err := l.keyFile(path)
		if err != nil {
			return nil, nil, err
		}
		pool = append(pool, m.keys...)
		warnings = append(warnings, m.warnings...)
	}
	response, remark := l.response(src.OCSPResponse)
	fits := response == nil
	var own []*Certificate
	all := pool
	for _, path := range distinct(src.Certs) {
		m, err := l.certificateFile(path)
		if err != nil {
			return nil, nil, err
		}
		keys := slices.Concat(m.keys, pool)
		r := recipe{file: m, shared: cas}
		if r.leaf, r.key = m.match(keys); r.key == nil {
			return nil, nil, m.noMatch(keys, holdsNoKey)
		}
		if response.fits(r.leaf) {
			r.response, fits = response, true
		}
		own = append(own, l.make(r))
		all = append(all, m.keys...)
	}
	if !fits {
		remark = append(remark, fmt.Sprintf("%s %s speaks of none of the certificates; expected one in DER for %s", roleResponse, src.OCSPResponse, src.Certs[0]))
	}
	return own, slices.Concat(warnings, unusedKeys(all, own), remark), nil
}

// selfSigned returns the certificate for names: the former one, if it is for
// the same and not near its end, or a new one.
func (l *loading) selfSigned(names string) (*Certificate, error) {
	l.next.self, l.next.names = l.old.self, names
	if l.old.self != nil && l.old.names == names && l.now.Before(l.old.self.Leaf().NotAfter.Add(-selfSignedLife/3)) {
		return l.old.self, nil
	}
	c, err := SelfSigned(splitNames(names), l.now)
	if err != nil {
		return nil, err
	}
	l.next.self, err = NewCertificate(c, "self-signed")
	return l.next.self, err
}

// distinct drops what a list has twice.
func distinct(list []string) []string {
	var once []string
	for _, s := range list {
		if !slices.Contains(once, s) {
			once = append(once, s)
		}
	}
	return once
}
