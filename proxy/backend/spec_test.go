package backend

import (
	"strings"
	"testing"
	"testing/quick"
)

func TestParseSpec(t *testing.T) {
	tests := []struct {
		operand string
		want    Spec
	}{
		{"host1", Spec{Address: "host1", Port: 8080}},
		{"host1:", Spec{Address: "host1", Port: 8080}},
		{"host1:80", Spec{Address: "host1", Port: 80}},
		{"host1:0", Spec{Address: "host1"}},
		{"host1:65535", Spec{Address: "host1", Port: 65535}},
		{"host1:http", Spec{Address: "host1", Port: 80}},
		{"host1:80:1", Spec{Address: "host1", Port: 80, Max: 1}},
		{"host1:80:1:2:3:4", Spec{Address: "host1", Port: 80, Max: 1, Hard: 2, Weight: 3, Prio: 4}},
		{"host1:80:1:2:3:-4", Spec{Address: "host1", Port: 80, Max: 1, Hard: 2, Weight: 3, Prio: -4}},
		{"host1::::7:", Spec{Address: "host1", Port: 8080, Weight: 7}},
		{"127.0.0.1:80", Spec{Address: "127.0.0.1", Port: 80}},
		{"[::1]", Spec{Address: "::1", Port: 8080}},
		{"[::1]:80:1:2", Spec{Address: "::1", Port: 80, Max: 1, Hard: 2}},
		{"[fe80::1%eth0]:80", Spec{Address: "fe80::1%eth0", Port: 80}},
		{"/run/app.sock", Spec{Address: "/run/app.sock", Port: 1}},
		{"/run/app.sock:7:8:9", Spec{Address: "/run/app.sock", Port: 1, Max: 8, Hard: 9}},
	}
	for _, tt := range tests {
		got, err := ParseSpec(tt.operand, 8080)
		if err != nil || got != tt.want {
			t.Errorf("%q: got %+v, %v, want %+v", tt.operand, got, err, tt.want)
		}
	}
}

func TestParseSpecErrors(t *testing.T) {
	tests := []struct{ operand, want string }{
		{"", "has no host"},
		{":80", "has no host"},
		{"ho st:80", `" " cannot be part of a host`},
		{"::1", "needs brackets, as in [::1]:80"},
		{"fe80::1:8080", "needs brackets"},
		{"[::1", "expected an IPv6 address in brackets"},
		{"[]:80", "expected an IPv6 address in brackets"},
		{"[host]:80", "expected an IPv6 address in brackets"},
		{"[::1]80", "expected a colon after the bracket"},
		{"host1:65536", `port "65536" is not from 0 to 65535`},
		{"host1:-1", `port "-1" is neither a number nor a service name`},
		{"host1: 80", `port " 80" is neither`},
		{"host1:no-such-service", `port "no-such-service" is neither a number nor a known service name`},
		{"host1:80:x", `max "x" is not a number from 0`},
		{"host1:80:-1", `max "-1" is not a number from 0`},
		{"host1:80:0:2147483648", `hard "2147483648" is not`},
		{"host1:80:0:0:1.5", `weight "1.5" is not`},
		{"host1:80:0:0:0:zz", `prio "zz" is not a number from -2147483648`},
		{"host1:80:1:2:3:4:5", "has too many fields"},
	}
	for _, tt := range tests {
		got, err := ParseSpec(tt.operand, 8080)
		if err == nil || !strings.Contains(err.Error(), tt.want) || got != (Spec{}) {
			t.Errorf("%q: got %+v, %v, want an error with %q", tt.operand, got, err, tt.want)
		}
		if err != nil && !strings.Contains(err.Error(), `server "`+tt.operand) {
			t.Errorf("%q: error does not name the operand: %v", tt.operand, err)
		}
	}
}

func TestSpecStringIsReadBack(t *testing.T) {
	hosts := []string{"host1", "10.0.0.1", "2001:db8::1", "fe80::1%eth0", "/run/app.sock"}
	property := func(host uint8, port uint16, limit, hard, weight uint16, prio int32) bool {
		want := Spec{
			Address: hosts[int(host)%len(hosts)], Port: port,
			Max: int(limit % 3), Hard: int(hard % 3), Weight: int(weight % 3), Prio: int(prio % 3),
		}
		if want.IsUnix() {
			want.Port = unixPort
		}
		got, err := ParseSpec(want.String(), 8080)
		return err == nil && got == want
	}
	if err := quick.Check(property, nil); err != nil {
		t.Error(err)
	}
}

func FuzzParseSpec(f *testing.F) {
	for _, s := range []string{"host1:80:1:2:3:4", "[::1]:http", "/run/s:1:2", "::1", "[fe80::1%25]:80", "[::1]]:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, operand string) {
		spec, err := ParseSpec(operand, 8080)
		if err != nil {
			return
		}
		again, err := ParseSpec(spec.String(), 8080)
		if err != nil || again != spec {
			t.Errorf("%q: %+v reads back from %q as %+v, %v", operand, spec, spec.String(), again, err)
		}
	})
}
