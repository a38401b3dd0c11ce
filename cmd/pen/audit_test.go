package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// finding is one of testssl.sh's in its JSON file.
type finding struct{ ID, Severity, Finding string }

// audits is what testssl.sh has to say of ways to run pen. Every finding that is more than information has to be in but, with
// the words that it begins with, and everything in but has to be found: an audit that sees nothing would prove nothing.
var audits = []struct {
	name     string
	args     []string
	versions string // of TLS that are offered, in the order of versionIDs
	but      map[string]string
}{
	{name: "as it comes", versions: "1.2 1.3", but: strangeToIt},
	{name: "HTTP mode", args: []string{"-H"}, versions: "1.2 1.3", but: strangeToIt},
	{name: "modern", args: []string{"-H", "--tls-profile", "modern"}, versions: "1.3", but: strangeToIt},
	{name: "compatible", args: []string{"-H", "-Z"}, versions: "1.0 1.1 1.2 1.3", but: map[string]string{
		"TLS_session_ticket": "valid for 604800 seconds",
		"TLS1":               "offered (deprecated)",
		"TLS1_1":             "offered (deprecated)",
		"cipherlist_AVERAGE": "offered",
		"BEAST":              "VULNERABLE -- but also supports higher protocols",
		"BEAST_CBC_TLS1":     "ECDHE-",
		"LUCKY13":            "potentially vulnerable, uses TLS CBC ciphers",
	}},
}

// strangeToIt is what testssl.sh finds wrong with every server in Go: crypto/tls says that its tickets are good for a week. Their keys
// change every day.
var strangeToIt = map[string]string{"TLS_session_ticket": "valid for 604800 seconds"}

// versionIDs are the findings about versions.
var versionIDs = []struct{ id, version string }{{"TLS1", "1.0"}, {"TLS1_1", "1.1"}, {"TLS1_2", "1.2"}, {"TLS1_3", "1.3"}}

// sound are findings that have to be there, and good.
var sound = []string{
	"SSLv2", "SSLv3", "cipherlist_NULL", "cipherlist_aNULL", "cipherlist_EXPORT", "cipherlist_LOW", "cipherlist_STRONG", "PFS",
	"heartbleed", "CCS", "ticketbleed", "ROBOT", "secure_client_renego", "CRIME_TLS", "BREACH", "POODLE_SSL", "fallback_SCSV",
	"SWEET32", "FREAK", "DROWN", "LOGJAM", "RC4",
}

// TestAudit has testssl.sh, which looks for every weakness of TLS that has become known, audit pen. It takes a minute or two, so it
// has to be asked for: AUDIT=1.
func TestAudit(t *testing.T) {
	if os.Getenv("AUDIT") == "" {
		t.Skip("it takes minutes: AUDIT=1 asks for it (make audit)")
	}
	if _, err := exec.LookPath("testssl"); err != nil {
		t.Skip("testssl.sh is not installed")
	}
	bin := buildPrograms(t)
	pki := &certificates{dir: t.TempDir()}
	if pki.make(); pki.err != nil {
		t.Fatal(pki.err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "audited") }))
	t.Cleanup(server.Close) // after the parallel ones
	for _, a := range audits {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			port := startAudited(t, bin, pki.dir, strings.TrimPrefix(server.URL, "http://"), a.args)
			found := testssl(t, filepath.Join(pki.dir, "root.pem"), "localhost:"+port)
			checkSeverities(t, found, a.but)
			checkSound(t, found, a.versions)
		})
	}
}

// startAudited starts a pen before a server until the test ends, with an ECDSA and an RSA certificate, and returns its port.
func startAudited(t *testing.T, bin, dir, server string, args []string) (port string) {
	n, err := ports.next()
	if err != nil {
		t.Fatal(err)
	}
	port = fmt.Sprint(n)
	args = append([]string{"-f", "-E", "chain.pem", "-K", "leaf.key", "-E", "rsa.pem", "-K", "rsa.key"}, args...)
	cmd := exec.Command(filepath.Join(bin, "pen"), append(args, port, server)...)
	cmd.Dir = dir
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt) //nolint:errcheck // it may have ended
		cmd.Wait()                       //nolint:errcheck // as above
	})
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			c.Close()
			return port
		}
		if time.Now().After(end) {
			t.Fatalf("pen %s does not serve: %v", strings.Join(args, " "), err)
		}
	}
}

// testssl looks at protocols, ciphers, forward secrecy, vulnerabilities and the certificate at an address.
func testssl(t *testing.T, root, address string) map[string][]finding {
	out := filepath.Join(t.TempDir(), "findings.json")
	cmd := exec.Command("testssl", "--quiet", "--color", "0", "--warnings", "off", "--nodns", "none", "--ip", "127.0.0.1",
		"--openssl", "/usr/bin/openssl", "--add-ca", root, "--jsonfile", out, "-p", "-s", "-E", "-f", "-S", "-U", address)
	text, err := cmd.CombinedOutput() // its status is the number of findings
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(out)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	var all []finding
	if err := json.Unmarshal(content, &all); err != nil {
		t.Fatalf("%v\n%s", err, content)
	}
	found := map[string][]finding{}
	for _, f := range all {
		id, _, _ := strings.Cut(f.ID, " ") // behind which stands the number of the certificate
		found[id] = append(found[id], f)
	}
	if len(all) == 0 || found["scanTime"] == nil {
		t.Fatalf("testssl.sh did not come to its end:\n%s", text)
	}
	return found
}

// aboutOurs are findings about the certificates of this test, not about pen.
var aboutOurs = []string{"cert_revocation", "cert_validityPeriod", "cert_keyUsage", "cert_extlifeSpan", "cert_serialNumberLen", "engine_problem"}

func checkSeverities(t *testing.T, found map[string][]finding, but map[string]string) {
	for id, all := range found {
		for _, f := range all {
			harmless := slices.Contains([]string{"OK", "INFO", "DEBUG"}, f.Severity) || slices.Contains(aboutOurs, id)
			begins, known := but[id]
			switch {
			case known && !strings.HasPrefix(f.Finding, begins):
				t.Errorf("%s: %s %s, want %s", f.ID, f.Severity, f.Finding, begins)
			case !known && !harmless:
				t.Errorf("%s: %s %s", f.ID, f.Severity, f.Finding)
			}
		}
	}
	for id := range but {
		if found[id] == nil {
			t.Errorf("%s was not found", id)
		}
	}
}

func checkSound(t *testing.T, found map[string][]finding, versions string) {
	for _, id := range append(slices.Clone(sound), "cert_trust", "cert_chain_of_trust") {
		if id == "SWEET32" && versions == "1.3" { // which has none of its ciphers, so that it is not looked for
			continue
		}
		if len(found[id]) == 0 || found[id][0].Severity != "OK" {
			t.Errorf("%s: found %v, want it to be OK", id, found[id])
		}
	}
	var offered []string
	for _, v := range versionIDs {
		if len(found[v.id]) == 1 && strings.HasPrefix(found[v.id][0].Finding, "offered") {
			offered = append(offered, v.version)
		}
	}
	if got := strings.Join(offered, " "); got != versions {
		t.Errorf("TLS %s is offered, want %s", got, versions)
	}
	ciphers := 0
	for id, all := range found {
		if !strings.HasPrefix(id, "cipher-") {
			continue
		}
		ciphers++
		if !strings.Contains(all[0].Finding, "_ECDHE_") && !strings.HasPrefix(id, "cipher-tls1_3") {
			t.Errorf("%s: no forward secrecy: %s", id, all[0].Finding)
		}
	}
	if ciphers < 3 {
		t.Errorf("only %d ciphers were found", ciphers)
	}
}
