package accesslog

import "time"

// kind is what a value is, and so how it is written.
type kind uint8

const (
	none    kind = iota
	text         // s
	raw          // b
	number       // n
	seconds      // n, in nanoseconds
	truth        // n is 0 or 1
	stamp        // at, as RFC 3339 with milliseconds
	clock        // at, as the formats of web servers have it
	line         // the request line
)

// value is one field of a record.
type value struct {
	kind kind
	s    string
	b    []byte
	n    int64
	at   time.Time
}

func ofText(s string) value {
	if s == "" {
		return value{}
	}
	return value{kind: text, s: s}
}

func ofBytes(b []byte) value {
	if len(b) == 0 {
		return value{}
	}
	return value{kind: raw, b: b}
}

func ofNumber(n int64) value { return value{kind: number, n: n} }

// body is how many bytes the client was sent, but for heads.
func (r *Record) body() int64 { return max(r.Out-r.OutHead, 0) }

// ofCount is a number that is unknown where it is 0.
func ofCount(n int64) value {
	if n == 0 {
		return value{}
	}
	return ofNumber(n)
}

// ofTime is a time that is unknown where it is 0.
func ofTime(d time.Duration) value {
	if d == 0 {
		return value{}
	}
	return value{kind: seconds, n: int64(d)}
}

// ofTruth is a yes or no that TLS alone can give.
func (r *Record) ofTruth(yes bool) value {
	switch {
	case !r.TLS:
		return value{}
	case yes:
		return value{kind: truth, n: 1}
	}
	return value{kind: truth}
}

// field is a field of ours: its name in JSON, and in %{name}x.
type field struct {
	name string
	of   func(*Record) value
	json bool // it is in the format json; what is not says the same as others
}

// fields is all of them, in the order of JSON.
func fields() []field {
	return []field{
		{"time", func(r *Record) value { return value{kind: stamp, at: r.Began} }, true},
		{"event", func(r *Record) value { return ofText(r.Event) }, true},
		{"client", func(r *Record) value { return ofText(r.Client) }, true},
		{"port", func(r *Record) value { return ofCount(int64(r.Port)) }, true},
		{"peer", func(r *Record) value { return ofText(r.Peer) }, true},
		{"country", func(r *Record) value { return ofText(r.Country) }, true},
		{"asn", func(r *Record) value { return ofCount(int64(r.ASN)) }, true},
		{"listener", func(r *Record) value { return ofText(r.Listener) }, true},
		{"method", func(r *Record) value { return ofBytes(r.Method) }, true},
		{"target", func(r *Record) value { return ofBytes(r.Target) }, true},
		{"path", func(r *Record) value { return ofBytes(r.path()) }, false},
		{"query", func(r *Record) value { return ofBytes(r.query()) }, false},
		{"protocol", func(r *Record) value { return ofText(r.Protocol) }, true},
		{"malformed", func(r *Record) value { return ofBytes(r.Malformed) }, true},
		{"host", func(r *Record) value { return ofBytes(r.Host) }, true},
		{"request_id", func(r *Record) value { return ofBytes(r.ID) }, true},
		{"status", func(r *Record) value { return ofCount(int64(r.Status)) }, true},
		{"bytes_in", func(r *Record) value { return ofNumber(r.In) }, true},
		{"bytes_out", func(r *Record) value { return ofNumber(r.Out) }, true},
		{"body_bytes_out", func(r *Record) value { return ofNumber(r.body()) }, true},
		{"duration", func(r *Record) value { return value{kind: seconds, n: int64(r.Took)} }, true},
		{"upstream_time", func(r *Record) value { return ofTime(r.Upstream) }, true},
		{"server", func(r *Record) value { return ofText(r.Server) }, true},
		{"server_port", func(r *Record) value { return ofCount(int64(r.ServerPort)) }, true},
		{"retries", func(r *Record) value { return ofNumber(int64(r.Retries)) }, true},
		{"handshake_time", func(r *Record) value { return ofTime(r.Handshake) }, true},
		{"tls_version", func(r *Record) value { return ofText(r.Version) }, true},
		{"tls_cipher", func(r *Record) value { return ofText(r.Cipher) }, true},
		{"tls_group", func(r *Record) value { return ofText(r.Group) }, true},
		{"tls_resumed", func(r *Record) value { return r.ofTruth(r.Resumed) }, true},
		{"ech", func(r *Record) value { return r.ofTruth(r.ECH) }, true},
		{"sni", func(r *Record) value { return ofText(r.SNI) }, true},
		{"alpn", func(r *Record) value { return ofText(r.ALPN) }, true},
		{"ja4", func(r *Record) value { return ofText(r.JA4) }, true},
		{"client_cn", func(r *Record) value { return ofText(r.CommonName) }, true},
		{"client_fingerprint", func(r *Record) value { return ofText(r.Fingerprint) }, true},
		{"denied", func(r *Record) value { return ofText(r.Denied) }, true},
		{"reason", func(r *Record) value { return ofText(r.Reason) }, true},
	}
}

// letters are the directives of web servers.
func letters() map[byte]func(*Record) value {
	client := func(r *Record) value { return ofText(r.Client) }
	return map[byte]func(*Record) value{
		'a': client,
		'h': client,
		'l': func(*Record) value { return value{} },
		'u': func(r *Record) value { return ofText(r.CommonName) },
		't': func(r *Record) value { return value{kind: clock, at: r.Began} },
		'r': func(r *Record) value { return value{kind: line} },
		's': func(r *Record) value { return ofCount(int64(r.Status)) },
		'b': func(r *Record) value { return ofCount(r.body()) },
		'B': func(r *Record) value { return ofNumber(r.body()) },
		'I': func(r *Record) value { return ofNumber(r.In) },
		'O': func(r *Record) value { return ofNumber(r.Out) },
		'D': func(r *Record) value { return ofNumber(r.Took.Microseconds()) },
		'T': func(r *Record) value { return ofNumber(int64(r.Took / time.Second)) },
		'm': func(r *Record) value { return ofBytes(r.Method) },
		'U': func(r *Record) value { return ofBytes(r.path()) },
		'q': func(r *Record) value { return ofBytes(r.query()) },
		'H': func(r *Record) value { return ofText(r.Protocol) },
		'v': func(r *Record) value { return ofBytes(r.Host) },
	}
}
