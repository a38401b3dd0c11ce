package main

import (
	stdtls "crypto/tls"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// certify has the pki's root, or its intermediate, certify a new key: certify [OPTION…] FILE NAME… makes FILE.crt for these host names,
// with the last part of FILE as its subject, and FILE.key. The options are
//
//	-key KIND             rsa:1024 and its like, as openssl has it; P-256 otherwise
//	-by intermediate      who signs; the root does otherwise
//	-from DATE -to DATE   when it is valid, as 20200101000000Z
//	-md DIGEST            what is signed, as sha1
func certify(ts *testscript.TestScript, neg bool, args []string) {
	options := map[string]string{"-key": ec, "-by": "root", "-from": "", "-to": "", "-md": "sha256"}
	for len(args) > 2 {
		if _, ok := options[args[0]]; !ok {
			break
		}
		options[args[0]] = args[1]
		args = args[2:]
	}
	if neg || len(args) < 2 {
		ts.Fatalf("usage: certify [-key KIND] [-by intermediate] [-from DATE] [-to DATE] [-md DIGEST] FILE NAME…")
	}
	file := args[0]
	c := &certificates{dir: ts.MkAbs(".")}
	c.write("ca.cnf", caConfig+"[names]\nbasicConstraints = critical,CA:false\nextendedKeyUsage = serverAuth,clientAuth\n"+
		"subjectAltName = DNS:"+strings.Join(args[1:], ",DNS:")+"\n")
	more := []string{"-md", options["-md"]}
	if options["-from"] != "" {
		more = append(more, "-startdate", options["-from"])
	}
	if options["-to"] != "" {
		more = append(more, "-enddate", options["-to"])
	}
	c.issue(file, filepath.Base(file), options["-by"], "names", options["-key"], more...)
	ts.Check(c.err)
	ts.Check(os.Rename(ts.MkAbs(file+".pem"), ts.MkAbs(file+".crt")))
	ts.Check(os.Remove(ts.MkAbs(file + ".csr")))
}

// replace puts copies of files in the place of others, each as a whole: replace TARGET=SOURCE…
func replace(ts *testscript.TestScript, neg bool, args []string) {
	for _, arg := range args {
		target, source, ok := strings.Cut(arg, "=")
		if !ok || neg {
			ts.Fatalf("usage: replace TARGET=SOURCE…")
		}
		part := ts.MkAbs(target + ".part")
		ts.Check(os.WriteFile(part, []byte(ts.ReadFile(source)), 0o600))
		ts.Check(os.Rename(part, ts.MkAbs(target)))
	}
}

// der writes the first block of a PEM file as it is without PEM: der FILE.pem FILE.der.
func der(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: der PEM DER")
	}
	block, _ := pem.Decode([]byte(ts.ReadFile(args[0])))
	if block == nil {
		ts.Fatalf("%s holds no PEM", args[0])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), block.Bytes, 0o600))
}

// reloads has a pen reload many times, with one of two certificates in turn, and checks that each reload goes well, and that clients then get
// the new certificate: reloads N CONTROL HOST:PORT FILE ONE TWO. What is replaced is FILE.pem and FILE.key, by ONE.pem and ONE.key
// or those of TWO.
func reloads(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 6 {
		ts.Fatalf("usage: reloads N CONTROL HOST:PORT FILE ONE TWO")
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	for i := range n {
		name := args[4+i%2]
		replace(ts, false, []string{args[3] + ".pem=" + name + ".pem", args[3] + ".key=" + name + ".key"})
		reply, err := converse(args[1], []byte("reload\n"))
		ts.Check(err)
		if len(reply) > 0 {
			ts.Fatalf("reload number %d: %s", i+1, reply)
		}
		conn, err := stdtls.Dial("tcp", args[2], &stdtls.Config{InsecureSkipVerify: true})
		ts.Check(err)
		conn.Close()
		want, err := stdtls.LoadX509KeyPair(ts.MkAbs(name+".pem"), ts.MkAbs(name+".key"))
		ts.Check(err)
		if got := conn.ConnectionState().PeerCertificates[0]; !got.Equal(want.Leaf) {
			ts.Fatalf("after reload number %d a client gets the certificate of %s, not that of %s.pem", i+1, got.Subject, name)
		}
	}
}

// cases are the lines "WHAT => MESSAGE" of a file, without empty lines and those that begin with #.
func cases(ts *testscript.TestScript, file string) (all [][2]string) {
	for line := range strings.Lines(ts.ReadFile(file)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		what, message, ok := strings.Cut(line, " => ")
		if !ok {
			ts.Fatalf("%s: %q is no line WHAT => MESSAGE", file, line)
		}
		all = append(all, [2]string{what, message})
	}
	return all
}

// startRefused runs a pen once for each line "FLAGS => MESSAGE" of a file, with these flags behind the given ones, and checks that it ends
// with status 1 and begins its message with MESSAGE: start-refused FILE ARGS…
func startRefused(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: start-refused FILE ARGS…")
	}
	all := cases(ts, args[0])
	var wrong []string
	for _, c := range all {
		status, out, errs := complete(ts, slices.Concat([]string{"pen"}, args[1:], strings.Fields(c[0])))
		if status != exitFailed || out != "" || !strings.HasPrefix(errs, "pen: "+c[1]) {
			wrong = append(wrong, fmt.Sprintf("pen %s: status %d, %q %q\nwant status %d, %q", c[0], status, out, errs, exitFailed, "pen: "+c[1]))
		}
	}
	if wrong != nil {
		ts.Fatalf("%s", strings.Join(wrong, "\n"))
	}
	fmt.Fprintf(ts.Stdout(), "%d starts refused\n", len(all))
}

// reloadRefused puts one file after the other into the place of one that is in use, and checks that "penctl reload" ends with status 1 and a
// message, and that a program then still succeeds: reload-refused FILE CONTROL PROGRAM ARGS… FILE has lines "TARGET=SOURCE => MESSAGE"; the
// SOURCE "nothing" takes the target away, and "directory" makes it one.
func reloadRefused(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: reload-refused FILE CONTROL PROGRAM ARGS…")
	}
	all := cases(ts, args[0])
	var wrong []string
	for _, c := range all {
		target, source, _ := strings.Cut(c[0], "=")
		path := ts.MkAbs(target)
		good := ts.ReadFile(target)
		switch source {
		case "nothing":
			ts.Check(os.Remove(path))
		case "directory":
			ts.Check(os.Remove(path))
			ts.Check(os.Mkdir(path, 0o700))
		default:
			replace(ts, false, []string{c[0]})
		}
		status, out, _ := complete(ts, []string{"penctl", args[1], "reload"})
		if status != exitFailed || !strings.HasPrefix(out, "error: "+c[1]) {
			wrong = append(wrong, fmt.Sprintf("%s: penctl reload: status %d, %q\nwant status %d, %q", c[0], status, out, exitFailed, "error: "+c[1]))
		}
		if status, out, errs := complete(ts, args[2:]); status != 0 {
			wrong = append(wrong, fmt.Sprintf("%s: afterwards: status %d, %s%s", c[0], status, out, errs))
		}
		ts.Check(os.RemoveAll(path))
		ts.Check(os.WriteFile(path, []byte(good), 0o600))
	}
	if wrong != nil {
		ts.Fatalf("%s", strings.Join(wrong, "\n"))
	}
	fmt.Fprintf(ts.Stdout(), "%d reloads refused\n", len(all))
}
