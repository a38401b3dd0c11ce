package tls

import (
	"crypto/sha256"
	stdtls "crypto/tls"
	"encoding/hex"
	"fmt"
	"slices"
)

// The extensions that JA4 counts and does not hash.
const (
	extensionServerName = 0x0000
	extensionALPN       = 0x0010
)

// ja4 computes the fingerprint of a ClientHello that came over TCP or QUIC, after
// FoxIO's description of JA4 (github.com/FoxIO-LLC/ja4,
// technical_details/JA4.md; the licence of this part is BSD 3-Clause):
//
//	t|q version d|i ciphers extensions alpn _ hash of ciphers _ hash of extensions and signature algorithms
//
// crypto/tls knows neither DTLS nor SSL, so versions below TLS 1.0 are 00.
func ja4(chi *stdtls.ClientHelloInfo, quic bool) string {
	ciphers, extensions := ungreased(chi.CipherSuites), ungreased(chi.Extensions)
	sni := byte('i')
	if slices.Contains(extensions, extensionServerName) {
		sni = 'd'
	}
	out := append(make([]byte, 0, 36), 't')
	if quic {
		out[0] = 'q'
	}
	out = append(out, ja4Version(chi.SupportedVersions)...)
	out = append(out, sni)
	out = fmt.Appendf(out, "%02d%02d", min(len(ciphers), 99), min(len(extensions), 99))
	out = append(out, ja4ALPN(chi.SupportedProtos)...)

	slices.Sort(ciphers)
	out = append(out, '_')
	out = append(out, ja4Hash(appendHex(nil, ciphers))...)

	extensions = slices.DeleteFunc(extensions, func(id uint16) bool {
		return id == extensionServerName || id == extensionALPN
	})
	slices.Sort(extensions)
	list := appendHex(nil, extensions)
	if algorithms := ungreased(chi.SignatureSchemes); len(list) > 0 && len(algorithms) > 0 {
		list = appendHex(append(list, '_'), algorithms)
	}
	out = append(out, '_')
	return string(append(out, ja4Hash(list)...))
}

// grease reports whether v is one of the values of RFC 8701.
func grease(v uint16) bool { return v>>8 == v&0xff && v&0xf == 0xa }

// ungreased returns list without the values of RFC 8701, in order.
func ungreased[T ~uint16](list []T) []T {
	return slices.DeleteFunc(slices.Clone(list), func(v T) bool { return grease(uint16(v)) })
}

// ja4Version is the highest version offered.
func ja4Version(versions []uint16) string {
	highest := uint16(0)
	for _, v := range versions {
		if !grease(v) {
			highest = max(highest, v)
		}
	}
	switch highest {
	case stdtls.VersionTLS13:
		return "13"
	case stdtls.VersionTLS12:
		return "12"
	case stdtls.VersionTLS11:
		return "11"
	case stdtls.VersionTLS10:
		return "10"
	}
	return "00"
}

// ja4ALPN is the first and the last character of the first protocol, or of
// its hexadecimal form if either is no ASCII letter or digit.
func ja4ALPN(protocols []string) string {
	if len(protocols) == 0 || protocols[0] == "" {
		return "00"
	}
	first, last := protocols[0][0], protocols[0][len(protocols[0])-1]
	if !alphanumeric(first) || !alphanumeric(last) {
		const digits = "0123456789abcdef"
		first, last = digits[first>>4], digits[last&0xf]
	}
	return string([]byte{first, last})
}

func alphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}

// appendHex appends list as four digits each, separated by commas.
func appendHex[T ~uint16](dst []byte, list []T) []byte {
	for i, v := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = hex.AppendEncode(dst, []byte{byte(v >> 8), byte(v)})
	}
	return dst
}

// ja4Hash is the first 12 digits of the SHA-256, or zeros for nothing.
func ja4Hash(list []byte) string {
	if len(list) == 0 {
		return "000000000000"
	}
	sum := sha256.Sum256(list)
	return hex.EncodeToString(sum[:6])
}
