package httpx

import (
	"strings"
	"testing"
)

const benchRequest = "GET /static/css/site.css?v=12 HTTP/1.1\r\n" +
	"Host: www.example.com\r\n" +
	"User-Agent: curl/8.5.0 (x86_64-pc-linux-gnu)\r\n" +
	"Accept: text/css,*/*;q=0.1\r\n" +
	"Accept-Encoding: gzip, br\r\n" +
	"Cookie: session=0123456789\r\n" +
	"Connection: keep-alive\r\n\r\n"

const benchResponse = "HTTP/1.1 200 OK\r\n" +
	"Server: nginx/1.22.1\r\n" +
	"Date: Sun, 01 Mar 2026 12:00:00 GMT\r\n" +
	"Content-Type: text/html\r\n" +
	"Content-Length: 612\r\n" +
	"Connection: keep-alive\r\n" +
	"ETag: \"65a1b2c3-264\"\r\n" +
	"Accept-Ranges: bytes\r\n\r\n"

var benchForward = Forward{Client: "192.0.2.1", Proto: "https", Port: "8443"}

func BenchmarkRequest(b *testing.B) {
	var r Request
	in, out := []byte(benchRequest), make([]byte, 0, 4096)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		r.Reset()
		if _, err := r.Parse(in, 65536); err != nil {
			b.Fatal(err)
		}
		out = r.AppendForward(out[:0], in, &benchForward)
	}
}

func BenchmarkResponse(b *testing.B) {
	var r Response
	in, out := []byte(benchResponse), make([]byte, 0, 4096)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		r.Reset()
		if _, err := r.Parse(in, 65536, false); err != nil {
			b.Fatal(err)
		}
		out = r.AppendForward(out[:0], in, true, 1)
	}
}

func BenchmarkChunked(b *testing.B) {
	in := []byte(strings.Repeat("400\r\n"+strings.Repeat("x", 1024)+"\r\n", 16) + "0\r\n\r\n")
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		body := chunkedBody(65536)
		if n, _, err := body.Feed(in); err != nil || n != len(in) {
			b.Fatal(n, err)
		}
	}
}
