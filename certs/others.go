package certs

import (
	"crypto/x509"
	"fmt"
	"slices"

	"golang.org/x/crypto/ocsp"

	"edgepen/certs/ech"
	"edgepen/certs/revoke"
	"edgepen/certs/ticket"
)

// response is an OCSP response as it was read.
type response struct {
	path string
	der  []byte
}

// response reads an OCSP response; nil where path is "". It is not checked
// here: it may end at any time, and so is checked before each use. One that
// cannot be read is a warning.
func (l *loading) response(path string) (*response, []string) {
	if path == "" {
		return nil, nil
	}
	r, err := recall(l, roleResponse, path, func(f file) (*response, error) {
		if len(f.data) == 0 {
			return nil, fmt.Errorf("%s %s is empty; expected DER", roleResponse, path)
		}
		return &response{path, f.data}, nil
	})
	if err != nil {
		return nil, []string{err.Error() + "; serving without it"}
	}
	return r, nil
}

// fits reports whether the response speaks of leaf, by its serial number.
func (r *response) fits(leaf *x509.Certificate) bool {
	if r == nil {
		return false
	}
	_, err := ocsp.ParseResponseForCert(r.der, leaf, nil)
	return err == nil
}

// loadOthers reads what is no certificate into set, and returns the warnings.
func (l *loading) loadOthers(set *Set, src Source) ([]string, error) {
	warnings, err := l.loadCRLs(set, src)
	if err != nil {
		return nil, err
	}
	var remark []string
	if set.Tickets, remark, err = secrets(l, roleTicket, src.TicketKeys, ticket.Parse); err != nil {
		return nil, err
	}
	warnings = append(warnings, remark...)
	set.ECH, remark, err = secrets(l, roleECH, src.ECHKeys, ech.Parse)
	return append(warnings, remark...), err
}

// loadCRLs reads the revocation lists: the files named, then those of CADir.
func (l *loading) loadCRLs(set *Set, src Source) ([]string, error) {
	paths := slices.Clone(src.CRLs)
	if src.CADir != "" {
		hashed, err := l.hashedFiles(src.CADir, "r")
		if err != nil {
			return nil, err
		}
		paths = append(paths, hashed...)
	}
	var warnings []string
	for _, path := range distinct(paths) {
		lists, err := recall(l, roleCRL, path, func(f file) ([]*revoke.List, error) { return revoke.Parse(path, f.data) })
		if err != nil {
			return nil, err
		}
		set.Revoked = append(set.Revoked, lists...)
		for _, list := range lists {
			if remark := list.Warning(l.now); remark != "" {
				warnings = append(warnings, remark)
			}
		}
	}
	return warnings, nil
}

// keyList is what came of a file of secrets.
type keyList[T any] struct {
	keys   []T
	remark []string
}

// secrets reads a file of keys; nil where path is "".
func secrets[T any](l *loading, role, path string, parse func(name string, content []byte) ([]T, error)) ([]T, []string, error) {
	if path == "" {
		return nil, nil, nil
	}
	list, err := recall(l, role, path, func(f file) (list keyList[T], err error) {
		list.keys, err = parse(path, f.data)
		if remark := openToOthers(path, f.mode); remark != "" {
			list.remark = []string{remark}
		}
		return list, err
	})
	return list.keys, list.remark, err
}
