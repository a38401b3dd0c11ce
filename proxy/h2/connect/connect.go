// Package connect has net/http offer WebSocket over HTTP/2 (RFC 8441), to be imported for that alone.
//
// net/http has the protocol behind GODEBUG's http2xconnect, which it looks at in its own initialization. Packages are initialized in the order of
// their import paths as soon as all that they import is ("Package initialization" in the Go specification), and net/http needs os as well: a package
// that imports os alone, and whose path is before "net/http", comes first. TestConnectIsOffered holds the program to it.
package connect

import (
	"os"
	"strings"
)

func init() {
	const name, setting = "GODEBUG", "http2xconnect"
	now := os.Getenv(name)
	switch {
	case strings.Contains(now, setting+"="): // somebody has decided
	case now == "":
		os.Setenv(name, setting+"=1") //nolint:errcheck // it is a good name and value
	default:
		os.Setenv(name, now+","+setting+"=1") //nolint:errcheck // as above
	}
}
