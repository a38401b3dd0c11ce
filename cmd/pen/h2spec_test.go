package main

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// unlike is where we do otherwise than h2spec wants, by section and title, and why. What is not here has to pass; what is may.
var unlike = map[string]string{
	"http2/3.5 Sends invalid connection preface":                                                                   "the connection ends at once, with bytes unread: the end may look like a reset",
	"http2/6.5.3 Sends multiple values of SETTINGS_INITIAL_WINDOW_SIZE":                                            "a setting that is there twice in one frame is refused: no client has a use for it",
	"http2/8.1.2.2 Sends a HEADERS frame that contains the connection-specific header field":                       "is answered with 400, as RFC 9113 section 8.1.1 allows",
	"http2/8.1.2.2 Sends a HEADERS frame that contains the TE header field with any value other than \"trailers\"": "as above",
}

// TestH2Spec has h2spec, which tries what RFC 9113 (and 7540 before it) says about servers, look at pen.
func TestH2Spec(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for time-outs")
	}
	bin := buildPrograms(t)
	err := buildApart(filepath.Join("..", "..", ".ci", "tools.mod"), filepath.Join(bin, "h2spec"), "github.com/summerwind/h2spec/cmd/h2spec")
	if errors.Is(err, errUnfetched) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	pki := &certificates{dir: t.TempDir()}
	if pki.make(); pki.err != nil {
		t.Fatal(pki.err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) //nolint:errcheck // h2spec breaks off
		fmt.Fprintln(w, "more than a window of one byte")
	}))
	defer server.Close()
	port := startAudited(t, bin, pki.dir, strings.TrimPrefix(server.URL, "http://"), []string{"-H"})
	report := filepath.Join(t.TempDir(), "report.xml")
	out, err := exec.Command(filepath.Join(bin, "h2spec"), "-h", "127.0.0.1", "-p", port, "-t", "-k", "-o", "2", "-j", report).CombinedOutput()
	if text, readErr := os.ReadFile(report); readErr != nil {
		t.Fatalf("h2spec did not come to its end: %v\n%s", err, out)
	} else {
		checkReport(t, text)
	}
}

// checkReport looks at a report in JUnit's format.
func checkReport(t *testing.T, text []byte) {
	var all struct {
		Suites []struct {
			Cases []struct {
				Section string   `xml:"package,attr"`
				Title   string   `xml:"classname,attr"`
				Failed  []string `xml:"failure"`
				Wrong   []string `xml:"error"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	cases := 0
	for _, suite := range all.Suites {
		for _, c := range suite.Cases {
			cases++
			bad := append(c.Failed, c.Wrong...)
			if name := c.Section + " " + c.Title; len(bad) > 0 && unlike[name] == "" {
				t.Errorf("%s: expected, and then what came:\n%s", name, bad[0])
			}
		}
	}
	if cases < 140 {
		t.Errorf("only %d cases", cases)
	}
}
