package certs

import (
	"crypto"
	"testing"

	"edgepen/certs/certtest"
)

// FuzzLoad gives any bytes to the readers of certificates, keys and CAs. What
// they accept must be fit to serve with.
func FuzzLoad(f *testing.F) {
	root, key := certtest.NewRoot(f, "root"), certtest.NewKey(f)
	middle := root.Intermediate(f, "middle")
	leaf := middle.Issue(f, "leaf", key, nil)
	good := certtest.PEM(leaf, middle.Cert) + certtest.KeyPEM(f, key)
	f.Add(good, certtest.PEM(root.Cert, middle.Cert))
	f.Add(good[:len(good)/2], "")
	f.Add(string(leaf.Raw), certtest.Block("X509 CRL", nil))
	f.Add("\ufeff"+good, certtest.Block("TRUSTED CERTIFICATE", leaf.Raw))
	f.Fuzz(func(t *testing.T, cert, ca string) {
		source := Source{Certs: []string{"c.pem"}}
		if ca != "" {
			source.CAFile = "ca.pem"
		}
		set, err := (&ram{files: map[string]string{"c.pem": cert, "ca.pem": ca}}).store().Load(source, now)
		if err != nil {
			return
		}
		shown := set.Default[0].TLS()
		if shown.Leaf == nil || string(shown.Certificate[0]) != string(shown.Leaf.Raw) {
			t.Error("the leaf is not the first certificate")
		}
		public := shown.PrivateKey.(crypto.Signer).Public().(interface{ Equal(crypto.PublicKey) bool })
		if !public.Equal(shown.Leaf.PublicKey) {
			t.Error("the key is not the leaf's")
		}
		if (set.CAs != nil) != (ca != "") {
			t.Error("CAs without a file, or none with one")
		}
	})
}
