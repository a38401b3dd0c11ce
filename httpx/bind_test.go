package httpx

import "testing"

func TestBinds(t *testing.T) {
	for field, want := range map[string]bool{
		"WWW-Authenticate: NTLM":                           true,
		"www-authenticate: negotiate abc=":                 true,
		"WWW-Authenticate: Basic realm=\"x\", \tNegotiate": true,
		"WWW-Authenticate: Basic realm=\"ntlm\"":           false,
		"WWW-Authenticate: NTLMv9":                         false,
		"WWW-Authenticate:":                                false,
		"X-Authenticate: NTLM":                             false,
		"Authorization: NTLM":                              false, // a request's
	} {
		head := []byte("HTTP/1.1 401 Unauthorized\r\n" + field + "\r\nContent-Length: 0\r\n\r\n")
		var r Response
		if n, err := r.Parse(head, 8192, false); n == 0 || err != nil {
			t.Fatalf("%q: %d, %v", head, n, err)
		}
		if got := r.Binds(head); got != want {
			t.Errorf("%q: %v", field, got)
		}
	}
	head := []byte("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: NTLM TlRM\r\n\r\n")
	var r Request
	if _, err := r.Parse(head, 8192); err != nil || !r.Binds(head) {
		t.Errorf("a request with NTLM: %v", err)
	}
}
