package control

import (
	"strings"
	"testing"
)

// TestUnknownCommandsAreRemarkedUpon: with file and line, what may have been meant, and no word that may be a secret.
func TestUnknownCommandsAreRemarkedUpon(t *testing.T) {
	secret := "MIGHAgEAMBMGByqGSM49"
	for _, c := range []struct{ text, remark, reply string }{
		{"acl 1 permit 192.0.2.0/24\nclinet_acl 1\n", `cfg:2: there is no command "clinet_acl"; is it client_acl?`, "do_cmd: ignoring command starting with 'clinet_acl'\n"},
		{"gibberish of another version\n", `cfg:1: there is no command "gibberish"`, "do_cmd: ignoring command starting with 'gibberish'\n"},
		{"\n" + secret + " x\n", "cfg:2: there is no such command", "do_cmd: ignoring a command that there is not\n"},
		{strings.Repeat("a", 41) + "\n", "cfg:1: there is no such command", "do_cmd: ignoring a command that there is not\n"},
		{"hash\n", "", ""},
	} {
		in := interpreter()
		var remarks []string
		in.PassedOver = func(remark string) { remarks = append(remarks, remark) }
		reply, err := loadFile(in, file(t, "cfg", c.text))
		if got := strings.Join(remarks, "|"); err != nil || reply != c.reply || !strings.HasSuffix(got, c.remark) || (got == "") != (c.remark == "") {
			t.Errorf("%q: remark %q, reply %q, %v", c.text, got, reply, err)
		}
	}
	if _, err := loadFile(interpreter(), file(t, "cfg", "no "+secret+"\n")); err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("behind no: %v", err)
	}
}

// TestOtherFilesAreNoConfiguration: of a key, a certificate or a binary no line is read.
func TestOtherFilesAreNoConfiguration(t *testing.T) {
	for text, want := range map[string]string{
		"-----BEGIN PRIVATE KEY-----\nMIGH\n-----END PRIVATE KEY-----\n": "is PEM, as certificates and keys are; expected a configuration file",
		"Bag Attributes\n-----BEGIN CERTIFICATE-----\nMIGH\n":            "is PEM",
		"0\x82\x01\x00hash\n": "is binary; expected a configuration file",
		"hash # -----BEGIN is nothing within a line, and neither is Latin \xe9\n": "",
	} {
		in := interpreter()
		reply, err := loadFile(in, file(t, "cfg", text))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want) || reply != "" || strings.Contains(err.Error(), "MIGH")) {
			t.Errorf("%q: %q, %v, want %q", text, reply, err, want)
		}
	}
}

func TestNearest(t *testing.T) {
	for word, want := range map[string]string{
		"clent_acl": "client_acl", "timout": "timeout", "hahs": "hash", "blacklists": "blacklist", "x": "", "gibberish": "", "": "", "client_acl": "client_acl",
	} {
		if got := Nearest(word, commandNames()); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}
