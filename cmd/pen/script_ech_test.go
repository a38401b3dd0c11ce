package main

import (
	stdtls "crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"regexp"

	"github.com/rogpeppe/go-internal/testscript"
)

// ech connects with Encrypted Client Hello, by the HTTPS record in a file, and prints what came of it: ech HOST:PORT NAME RECORD ROOTS.
// Where the server refuses the record's configuration and names others, it tries again with these, as browsers do.
func ech(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: ech HOST:PORT NAME RECORD ROOTS")
	}
	found := regexp.MustCompile(`ech="([^"]*)"`).FindStringSubmatch(ts.ReadFile(args[2]))
	if found == nil {
		ts.Fatalf("%s has no ech", args[2])
	}
	list, err := base64.StdEncoding.DecodeString(found[1])
	ts.Check(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(ts.ReadFile(args[3])))
	config := &stdtls.Config{RootCAs: roots, ServerName: args[1], EncryptedClientHelloConfigList: list}
	state, err := shake(args[0], config)
	if refused, ok := errors.AsType[*stdtls.ECHRejectionError](err); ok {
		fmt.Fprintf(ts.Stdout(), "refused, and told of %d bytes of configurations\n", len(refused.RetryConfigList))
		if len(refused.RetryConfigList) == 0 {
			return
		}
		config.EncryptedClientHelloConfigList = refused.RetryConfigList
		state, err = shake(args[0], config)
	}
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "accepted %v, certificate of %s\n", state.ECHAccepted, state.PeerCertificates[0].Subject.CommonName)
}

// shake does a handshake and says what was agreed on.
func shake(address string, config *stdtls.Config) (stdtls.ConnectionState, error) {
	conn, err := stdtls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", address, config)
	if err != nil {
		return stdtls.ConnectionState{}, err
	}
	defer conn.Close()
	return conn.ConnectionState(), nil
}
