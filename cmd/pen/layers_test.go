package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestLayers holds the packages to the picture in ARCHITECTURE.md: what each may import of ours. Leaves import nothing.
func TestLayers(t *testing.T) {
	allowed := map[string][]string{
		"edgepen/acl":                nil,
		"edgepen/certs":              {"certs/ech", "certs/revoke", "certs/ticket"},
		"edgepen/certs/acme":         {"certs"},
		"edgepen/certs/ech":          nil,
		"edgepen/certs/revoke":       nil,
		"edgepen/certs/staple":       nil,
		"edgepen/certs/ticket":       nil,
		"edgepen/geo":                nil,
		"edgepen/httpx":              nil,
		"edgepen/tls":                {"certs", "certs/ech", "certs/ticket", "tls/policy"},
		"edgepen/tls/policy":         nil,
		"edgepen/tls/upstream":       nil,
		"edgepen/proxy/accesslog":    {"proxy/logfile"},
		"edgepen/proxy/backend":      nil,
		"edgepen/proxy/dsr":          {"proxy/backend"},
		"edgepen/proxy/health":       {"proxy/backend"},
		"edgepen/proxy/udp":          {"proxy/backend"},
		"edgepen/proxy/logfile":      nil,
		"edgepen/proxy/trafficlog":   {"proxy/logfile"},
		"edgepen/proxy/status":       nil,
		"edgepen/proxy/limit":        nil,
		"edgepen/cmd/pen/daemon":     nil,
		"edgepen/proxy/relay":        {"httpx"},
		"edgepen/proxy/h2":           {"httpx", "proxy/streams"},
		"edgepen/proxy/streams":      {"httpx"},
		"edgepen/proxy/h3":           {"proxy/streams", "tls"},
		"edgepen/proxy/h2client":     {"httpx"},
		"edgepen/proxy/proxyproto":   nil,
		"edgepen/proxy":              {"acl", "certs", "certs/acme", "certs/ech", "certs/revoke", "certs/staple", "geo", "httpx", "proxy/accesslog", "proxy/backend", "proxy/dsr", "proxy/h2", "proxy/h2client", "proxy/h3", "proxy/health", "proxy/limit", "proxy/logfile", "proxy/proxyproto", "proxy/relay", "proxy/status", "proxy/trafficlog", "proxy/udp", "tls", "tls/upstream"},
		"edgepen/proxy/control":      {"acl", "certs", "certs/revoke", "httpx", "proxy", "proxy/accesslog", "proxy/backend", "proxy/health", "tls/upstream"},
		"edgepen/cmd/pen/getopt":     nil,
		"edgepen/cmd/pen":            {"certs", "cmd/pen/daemon", "cmd/pen/getopt", "proxy", "proxy/backend", "proxy/control"},
		"edgepen/cmd/penctl":         nil,
		"edgepen/cmd/penlog":         nil,
		"edgepen/cmd/penlogd":        {"cmd/pen/daemon", "cmd/pen/getopt", "cmd/penlogd/weblog"},
		"edgepen/cmd/penlogd/weblog": nil,
		"edgepen/cmd/mergelogs":      {"cmd/pen/getopt", "cmd/penlogd/weblog"},
	}
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "edgepen/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		may, listed := allowed[words[0]]
		if !listed {
			if !strings.HasPrefix(words[0], "edgepen/bench") && !strings.HasSuffix(words[0], "test") {
				t.Errorf("package %s is not in the picture", words[0])
			}
			continue
		}
		seen++
		for _, imported := range words[1:] {
			ours, is := strings.CutPrefix(imported, "edgepen/")
			if is && !slices.Contains(may, ours) {
				t.Errorf("%s imports %s", words[0], imported)
			}
			if imported == "crypto/tls" && !strings.HasPrefix(words[0], "edgepen/tls") && !strings.HasPrefix(words[0], "edgepen/certs") {
				t.Errorf("%s imports crypto/tls, which only tls and certs may", words[0])
			}
		}
	}
	if seen != len(allowed) {
		t.Errorf("%d packages of %d were found", seen, len(allowed))
	}
}
