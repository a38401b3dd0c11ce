package ech

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
)

// Record is the HTTPS resource record (RFC 9460) that tells clients of host on
// port the keys marked Retry and the protocols alpn, as a line of a zone file
// without a TTL. host is a DNS name, with or without its final dot. For a port
// other than 443 the record stands at _port._https.host and leads to host
// (section 9.1).
func Record(keys []Key, host string, port uint16, alpn []string) string {
	host = strings.TrimSuffix(host, ".") + "."
	owner, target, params := host, ".", ""
	if port != 443 {
		owner = fmt.Sprintf("_%d._https.%s", port, host)
		target = host
	}
	if len(alpn) > 0 {
		params += ` alpn="` + escape(alpn) + `"`
		// Clients may use HTTP/1.1 unless they are told otherwise (section 9.5).
		if !slices.Contains(alpn, "http/1.1") {
			params += " no-default-alpn"
		}
	}
	if port != 443 {
		params += fmt.Sprintf(" port=%d", port)
	}
	if list := ConfigList(keys); list != nil {
		params += ` ech="` + base64.StdEncoding.EncodeToString(list) + `"`
	}
	return fmt.Sprintf("%s IN HTTPS 1 %s%s", owner, target, params)
}

// escape writes a list of names as RFC 9460 appendix A.1 has it: a comma or
// backslash within a name is escaped as the list's, and then the whole as a
// quoted character-string is (RFC 1035 section 5.1).
func escape(names []string) string {
	var list []string
	for _, name := range names {
		list = append(list, strings.NewReplacer(`\`, `\\`, `,`, `\,`).Replace(name))
	}
	var b strings.Builder
	for _, c := range []byte(strings.Join(list, ",")) {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c > '~':
			fmt.Fprintf(&b, `\%03d`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
