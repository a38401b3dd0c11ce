package certs

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// entry is one certificate of SNIPath: its name and its files. Only cert is
// always there.
type entry struct{ name, cert, key, ca, response string }

// loadSNI reads the certificates of SNIPath, all of them or none.
func (l *loading) loadSNI(src Source, cas *caSet) ([]*Certificate, []string, error) {
	if src.SNIPath == "" {
		return nil, nil, nil
	}
	names, err := l.list(roleSNI, src.SNIPath)
	if err != nil {
		return nil, nil, err
	}
	entries, warnings := indexNames(src.SNIPath, names)
	if len(entries) == 0 {
		text := fmt.Sprintf("%s %s holds no certificate; expected files such as www.example.com.crt", roleSNI, src.SNIPath)
		if len(src.Certs) == 0 && src.SelfSigned == "" {
			return nil, nil, errors.New(text)
		}
		return nil, append(warnings, text), nil
	}
	results := l.loadEntries(entries, cas)
	certs := make([]*Certificate, 0, len(entries))
	var caFiles []*caFile
	failed := 0
	for _, r := range results {
		if r.err != nil {
			if failed++; failed == 1 {
				err = r.err
			}
			continue
		}
		certs = append(certs, r.cert)
		warnings = append(warnings, r.warnings...)
		if r.cas != nil {
			caFiles = append(caFiles, r.cas)
		}
	}
	if failed > 1 {
		err = fmt.Errorf("%v; and %d more certificates in %s cannot be used", err, failed-1, src.SNIPath)
	}
	return certs, append(warnings, caWarnings(caFiles, l.now)...), err
}

// indexNames sorts the names in dir into certificates with their files.
func indexNames(dir string, names []string) (entries []entry, warnings []string) {
	there := make(map[string]bool, len(names))
	for _, name := range names {
		there[name] = true
	}
	find := func(name string) string {
		if !there[name] {
			return ""
		}
		return filepath.Join(dir, name)
	}
	for _, name := range names {
		stem, ok := strings.CutSuffix(name, ".crt")
		if !ok || name[0] == '.' {
			continue
		}
		base, ok := strings.CutSuffix(stem, ".rsa")
		if !ok {
			base = strings.TrimSuffix(stem, ".ecdsa")
		}
		if host := strings.ToLower(base); hostName(host) {
			entries = append(entries, entry{host, find(name), find(stem + ".key"), find(base + ".ca"), find(stem + ".ocsp")})
		} else {
			warnings = append(warnings, fmt.Sprintf("%s is not served: %q is no host name", clean(filepath.Join(dir, name)), base))
		}
	}
	slices.SortFunc(entries, func(a, b entry) int {
		if c := strings.Compare(a.name, b.name); c != 0 {
			return c
		}
		return strings.Compare(a.cert, b.cert)
	})
	return entries, warnings
}

// result is what came of an entry.
type result struct {
	cert     *Certificate
	cas      *caFile
	warnings []string
	err      error
}

// loadEntries loads all entries, as many at once as there are processors.
func (l *loading) loadEntries(entries []entry, cas *caSet) []result {
	results := make([]result, len(entries))
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(entries)) {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(entries); i = int(next.Add(1)) - 1 {
				results[i] = l.loadEntry(entries[i], cas)
			}
		})
	}
	workers.Wait()
	return results
}

func (l *loading) loadEntry(e entry, cas *caSet) (res result) {
	r := recipe{name: e.name, shared: cas}
	if r.file, res.err = l.certificateFile(e.cert); res.err != nil {
		return res
	}
	keys := r.file.keys
	missing := fmt.Sprintf("holds no private key; append it, or put it into %s.key", strings.TrimSuffix(e.cert, ".crt"))
	if e.key != "" {
		if r.keyFile, res.err = l.keyFile(e.key); res.err != nil {
			return res
		}
		keys = slices.Concat(keys, r.keyFile.keys)
	}
	if r.leaf, r.key = r.file.match(keys); r.key == nil {
		res.err = r.file.noMatch(keys, missing)
		return res
	}
	if e.ca != "" {
		if res.cas, res.err = l.caFile(e.ca); res.err != nil {
			return res
		}
		if r.own, res.err = l.interns.caSet(false, res.cas.certs); res.err != nil {
			return res
		}
	}
	r.response, res.warnings = l.response(e.response)
	res.cert = l.make(r)
	return res
}
