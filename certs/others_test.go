package certs

import (
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"edgepen/certs/certtest"
	"edgepen/certs/ech"
)

// crl is a revocation list in DER, with one entry.
func crl(t testing.TB, by *certtest.Authority, until time.Time) []byte {
	t.Helper()
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: now.Add(-time.Hour), NextUpdate: until,
		RevokedCertificateEntries: []x509.RevocationListEntry{{SerialNumber: big.NewInt(7), RevocationTime: now}},
	}, by.Cert, by.Key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// revoker is a CA that may sign revocation lists.
func revoker(t testing.TB) *certtest.Authority {
	t.Helper()
	root := certtest.NewRoot(t, "root")
	template := *root.Cert
	template.KeyUsage |= x509.KeyUsageCRLSign
	template.SubjectKeyId = []byte{1, 2, 3}
	return &certtest.Authority{Cert: root.Sign(t, root.Key.Public(), &template), Key: root.Key}
}

func TestRevoked(t *testing.T) {
	root := revoker(t)
	good := crl(t, root, now.Add(time.Hour))
	disk := &ram{files: map[string]string{
		"one.crl": string(good), "two.pem": certtest.Block("X509 CRL", good) + certtest.Block("X509 CRL", good),
		"/ca/1a2b3c4d.0": certtest.PEM(root.Cert), "/ca/1a2b3c4d.r0": certtest.Block("X509 CRL", good), "/ca/x.r0": "ignored",
		"old.crl": string(crl(t, root, now.Add(-time.Minute))), "bad.crl": "junk",
	}}
	for _, test := range []struct {
		src     Source
		n       int
		warning string
	}{
		{Source{}, 0, ""},
		{Source{CRLs: []string{"one.crl", "two.pem", "one.crl"}}, 3, ""},
		{Source{CADir: "/ca"}, 1, ""},
		{Source{CADir: "/ca", CRLs: []string{"one.crl"}}, 2, ""},
		{Source{CRLs: []string{"old.crl"}}, 1, "old.crl"},
	} {
		st := disk.store()
		set := mustReload(t, st, test.src)
		all := strings.Join(set.Warnings, "\n")
		if len(set.Revoked) != test.n || (all == "") != (test.warning == "") || !strings.Contains(all, test.warning) {
			t.Errorf("%+v: %d lists, warnings %q", test.src, len(set.Revoked), all)
		}
		if again := mustReload(t, st, test.src); !slices.Equal(again.Revoked, set.Revoked) {
			t.Errorf("%+v: other lists, though nothing changed", test.src)
		}
	}
	for path, want := range map[string]string{"none.crl": "cannot read revocation list none.crl: file does not exist", "bad.crl": "bad.crl"} {
		if _, err := disk.store().Load(Source{CRLs: []string{path}}, now); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v", path, err)
		}
	}
}

func TestSecrets(t *testing.T) {
	key, err := ech.Generate("public.example", 1)
	if err != nil {
		t.Fatal(err)
	}
	disk := &ram{files: map[string]string{
		"tickets": strings.Repeat("0123456789abcdef", 3)[:47] + "\x80", "ech": string(ech.Format([]ech.Key{key})), "bad": "junk",
	}}
	src := Source{TicketKeys: "tickets", ECHKeys: "ech"}
	set := mustReload(t, disk.store(), src)
	if len(set.Tickets) != 1 || len(set.ECH) != 1 || set.ECH[0].PublicName != "public.example" || len(set.Warnings) != 0 {
		t.Errorf("%d ticket keys, ECH keys %v, warnings %q", len(set.Tickets), set.ECH, set.Warnings)
	}
	disk.mode = 0o040
	want := []string{
		"key file tickets is open to others than its owner (mode 0640); chmod 600 tickets",
		"key file ech is open to others than its owner (mode 0640); chmod 600 ech",
	}
	st := disk.store()
	for range 2 {
		if set := mustReload(t, st, src); !slices.Equal(set.Warnings, want) || len(set.Tickets) != 1 || len(set.ECH) != 1 {
			t.Errorf("warnings %q", set.Warnings)
		}
	}
	for _, test := range []struct {
		src  Source
		want string
	}{
		{Source{TicketKeys: "none"}, "cannot read ticket key file none: file does not exist"},
		{Source{ECHKeys: "none"}, "cannot read ECH key file none: file does not exist"},
		{Source{TicketKeys: "bad"}, "bad"},
		{Source{ECHKeys: "bad"}, "bad"},
	} {
		if _, err := disk.store().Load(test.src, now); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: error %v", test.src, err)
		}
	}
}

// TestOCSPResponse gives a response to the certificate it speaks of, and to
// none other.
func TestOCSPResponse(t *testing.T) {
	root, key := certtest.NewRoot(t, "root"), certtest.NewKey(t)
	leaf := func(serial int64) *x509.Certificate {
		return root.Issue(t, "leaf", key, func(c *x509.Certificate) { c.SerialNumber = big.NewInt(serial) })
	}
	response, err := ocsp.CreateResponse(root.Cert, root.Cert, ocsp.Response{
		Status: ocsp.Good, SerialNumber: big.NewInt(22), ThisUpdate: now, NextUpdate: now.Add(time.Hour),
	}, root.Key)
	if err != nil {
		t.Fatal(err)
	}
	disk := &ram{files: map[string]string{
		"1.pem": certtest.PEM(leaf(11), root.Cert), "2.pem": certtest.PEM(leaf(22), root.Cert), "k.pem": certtest.KeyPEM(t, key),
		"r": string(response), "junk": "junk", "empty": "",
	}}
	for _, test := range []struct{ certs, response, fits, warning string }{
		{"1.pem 2.pem", "r", "2.pem", ""},
		{"2.pem", "r", "2.pem", ""},
		{"1.pem", "r", "", "OCSP response r speaks of none of the certificates; expected one in DER for 1.pem"},
		{"1.pem", "junk", "", "OCSP response junk speaks of none of the certificates; expected one in DER for 1.pem"},
		{"1.pem", "empty", "", "OCSP response empty is empty; expected DER; serving without it"},
		{"1.pem", "none", "", "cannot read OCSP response none: file does not exist; serving without it"},
	} {
		st := disk.store()
		set := mustReload(t, st, Source{Certs: strings.Fields(test.certs), Keys: []string{"k.pem"}, OCSPResponse: test.response})
		if got := strings.Join(set.Warnings, "\n"); got != test.warning {
			t.Errorf("%s: warnings %q, want %q", test.response, got, test.warning)
		}
		for _, c := range set.All() {
			want := ""
			if c.Source == test.fits {
				want = test.response
			}
			if c.ResponseFile != want || (c.Response == nil) != (want == "") {
				t.Errorf("%s: %s has the response %q", test.response, c.Source, c.ResponseFile)
			}
		}
		if test.response == "none" {
			disk.files["none"] = string(response)
			if !st.Changed() {
				t.Error("the response that was missing is there, but that is no change")
			}
		}
	}
}
