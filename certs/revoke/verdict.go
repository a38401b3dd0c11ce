package revoke

import (
	"crypto/x509"
	"fmt"
	"time"
)

// verdict gathers what the lists say of one certificate. It is made for every
// check, lives on the stack, and allocates nothing unless there is something
// to complain about.
type verdict struct {
	cert, issuer *x509.Certificate
	now          time.Time

	hitIn   *List // names the certificate: one that has not expired, else the newest
	hit     entry
	cover   *List // the newest current list of all that would name it were it revoked
	doubt   doubt // why a list does not cover it: the most telling of them
	doubted *List
	fetch   error // why a distribution point was of no help
}

// doubt says why a list tells nothing about a certificate that it does not
// name, from the remote to the close.
type doubt int

const (
	noList doubt = iota
	notItsOwn
	otherPart
	notYet
	expired
)

// lookUp asks the lists of files, and then the distribution points. Where the
// files cover the certificate nobody waits for a distribution point: what it
// said last counts, and what it says next will.
func (v *verdict) lookUp(r *Rules, ask *asking) {
	var buf serialBuffer
	serial := buf.put(v.cert.SerialNumber)
	for _, l := range r.byIssuer[string(v.cert.RawIssuer)] {
		v.weigh(l, serial)
	}
	if !r.policy.Fetch {
		return
	}
	fromFiles := v.cover != nil
	for _, url := range v.cert.CRLDistributionPoints[:min(len(v.cert.CRLDistributionPoints), maxURLs)] {
		if v.settled() || !fromFiles && v.cover != nil {
			return
		}
		if !fetchable(url) {
			continue
		}
		l, err := ask.list(url, v.issuer, !fromFiles)
		if l != nil {
			v.weigh(l, serial)
		}
		if err != nil {
			v.fetch = err
		}
	}
}

// weigh adds what one list of the issuer's name says.
func (v *verdict) weigh(l *List, serial []byte) {
	if l.verify(v.issuer) != nil {
		v.doubtIn(l, notItsOwn)
		return
	}
	if _, e, found := l.entries.find(serial); found {
		v.take(l, e)
	}
	switch {
	case !l.scope.covers(v.cert):
		v.doubtIn(l, otherPart)
	case !l.begun(v.now):
		v.doubtIn(l, notYet)
	case l.ended(v.now):
		v.doubtIn(l, expired)
	case v.cover == nil || l.newerThan(v.cover):
		v.cover = l
	}
}

func (v *verdict) take(l *List, e entry) {
	if v.hitIn == nil || v.hitIn.ended(v.now) && (!l.ended(v.now) || l.newerThan(v.hitIn)) {
		v.hitIn, v.hit = l, e
	}
}

func (v *verdict) doubtIn(l *List, why doubt) {
	if why > v.doubt {
		v.doubt, v.doubted = why, l
	}
}

// settled reports whether no other list could make a difference.
func (v *verdict) settled() bool { return v.hitIn != nil && !v.hitIn.ended(v.now) }

func (v *verdict) isRevoked() bool {
	return v.hitIn != nil && !(v.hitIn.ended(v.now) && v.cover != nil && v.cover.newerThan(v.hitIn))
}

func (v *verdict) revoked() error {
	return &Revoked{Subject: clean(v.cert.Subject.String()), Issuer: clean(v.cert.Issuer.String()),
		Serial: hexSerial(v.cert.SerialNumber), Date: v.hit.when(), Reason: v.hit.reason(), Source: v.hitIn.source}
}

func (v *verdict) unknown() error {
	return &Unknown{Subject: clean(v.cert.Subject.String()), Issuer: clean(v.cert.Issuer.String()),
		Serial: hexSerial(v.cert.SerialNumber), Why: v.why()}
}

// why says what is missing.
func (v *verdict) why() string {
	why := "there is no revocation list of its issuer"
	switch v.doubt {
	case notItsOwn:
		why = fmt.Sprintf("%s is not its issuer's: %v", v.doubted.source, v.doubted.verify(v.issuer))
	case otherPart:
		why = v.doubted.source + " is a list of other certificates (issuing distribution point)"
	case notYet:
		why = fmt.Sprintf("%s is not valid before %s", v.doubted.source, stamp(v.doubted.header.ThisUpdate))
	case expired:
		why = fmt.Sprintf("%s expired on %s", v.doubted.source, stamp(v.doubted.header.NextUpdate))
	}
	if v.fetch != nil {
		why += "; " + v.fetch.Error()
	}
	return why
}
