package main

import (
	"bytes"
	"context"
	"crypto"
	stdtls "crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/crypto/ocsp"
)

// issue makes one more certificate, as openssl ca does, after pki: issue NAME ISSUER SUBJECT [EXTENSION…]. An extension is a line of
// openssl's configuration, such as 'subjectAltName = DNS:a.example', which replaces the usual one of its name. NAME.pem is the certificate
// alone, NAME.key its key.
func issue(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: issue NAME ISSUER SUBJECT [EXTENSION…]")
	}
	extensions := []string{"[" + args[0] + "]"}
	_, usual, _ := strings.Cut(caConfig, "[leaf]\n")
	usual, _, _ = strings.Cut(usual, "[")
	for line := range strings.Lines(usual) {
		name, _, _ := strings.Cut(line, " =")
		if !slices.ContainsFunc(args[3:], func(given string) bool { return strings.HasPrefix(given, name) }) {
			extensions = append(extensions, strings.TrimSuffix(line, "\n"))
		}
	}
	extensions = append(extensions, args[3:]...)
	c := &certificates{dir: ts.MkAbs(".")}
	c.write("ca.cnf", ts.ReadFile("ca.cnf")+strings.Join(extensions, "\n")+"\n")
	c.issue(args[0], args[2], args[1], args[0], ec)
	ts.Check(c.err)
}

// crl makes a revocation list of an issuer that pki or issue has made: crl FILE ISSUER [-ended] [REVOKED…]. Certificates that an earlier
// list in the same script revoked stay revoked. With -ended the list was good for a day of the year 2020.
func crl(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: crl FILE ISSUER [-ended] [REVOKED…]")
	}
	c := &certificates{dir: ts.MkAbs(".")}
	by := []string{"ca", "-batch", "-config", "ca.cnf", "-cert", args[1] + ".pem", "-keyfile", args[1] + ".key"}
	list := slices.Concat(by, []string{"-gencrl", "-out", args[0] + ".new"})
	for _, arg := range args[2:] {
		if arg == "-ended" {
			list = append(list, "-crl_lastupdate", "20200101000000Z", "-crl_nextupdate", "20200102000000Z")
			continue
		}
		c.openssl(slices.Concat(by, []string{"-revoke", arg + ".pem", "-crl_reason", "keyCompromise"})...)
	}
	c.openssl(list...)
	ts.Check(c.err)
	ts.Check(os.Rename(ts.MkAbs(args[0]+".new"), ts.MkAbs(args[0])))
}

// fileServers start web servers that have the script's directory: file-servers NAME=PORT… stop-server ends them, and NAME.log has what
// they were asked.
func fileServers(ts *testscript.TestScript, neg bool, args []string) {
	startServers(ts, neg, args, func(b *backendServer) {
		http.Serve(b, http.FileServer(http.Dir(b.dir))) //nolint:errcheck // it ends when the listener is closed
	})
}

// capture puts what a pattern's group matches in a file into a variable: capture VARIABLE FILE PATTERN. The last match counts.
func capture(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: capture VARIABLE FILE PATTERN")
	}
	re, err := regexp.Compile("(?m)" + args[2])
	ts.Check(err)
	found := re.FindAllStringSubmatch(ts.ReadFile(args[1]), -1)
	if len(found) == 0 || len(found[0]) != 2 {
		ts.Fatalf("%s has nothing like %q with one group", filepath.Base(args[1]), args[2])
	}
	ts.Setenv(args[0], found[len(found)-1][1])
}

// sClient asks for a path over HTTP by openssl s_client and prints all that it says, however that ends: s_client HOST:PORT PATH [OPTION…].
func sClient(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: s_client HOST:PORT PATH [OPTION…]")
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "openssl", append([]string{"s_client", "-connect", args[0], "-ign_eof"}, args[2:]...)...)
	cmd.Dir = ts.MkAbs(".")
	host := "localhost"
	if slices.Contains(args, "-noservername") {
		host = "127.0.0.1"
	}
	if at := slices.Index(args, "-servername"); at >= 0 && at+1 < len(args) {
		host = args[at+1]
	}
	cmd.Stdin = strings.NewReader("GET " + args[1] + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n")
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil || ctx.Err() != nil {
		ts.Fatalf("openssl s_client -connect %s: %v", args[0], errors.Join(err, ctx.Err()))
	}
	fmt.Fprintf(ts.Stdout(), "%s", bytes.ReplaceAll(out, []byte("\r"), nil))
}

// endedOCSP makes an OCSP response that was good for a day of the year 2020, which openssl does not: ended-ocsp FILE CERTIFICATE ISSUER.
func endedOCSP(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: ended-ocsp FILE CERTIFICATE ISSUER")
	}
	leaf, err := stdtls.LoadX509KeyPair(ts.MkAbs(args[1]+".pem"), ts.MkAbs(args[1]+".key"))
	ts.Check(err)
	issuer, err := stdtls.LoadX509KeyPair(ts.MkAbs(args[2]+".pem"), ts.MkAbs(args[2]+".key"))
	ts.Check(err)
	began := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	response, err := ocsp.CreateResponse(issuer.Leaf, issuer.Leaf, ocsp.Response{Status: ocsp.Good, SerialNumber: leaf.Leaf.SerialNumber,
		ThisUpdate: began, NextUpdate: began.AddDate(0, 0, 1)}, issuer.PrivateKey.(crypto.Signer))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), response, 0o600))
}
