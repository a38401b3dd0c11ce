package certs

import (
	stdtls "crypto/tls"
)

// IsServedName reports whether name, in lower case, is one that certificates
// are served for: a host name, or "*." and one, which stands for the names
// with one label more.
func IsServedName(name string) bool { return hostName(name) }

// KeyPair is a certificate with its chain and key as crypto/tls has it, for
// those who only hand it on.
type KeyPair = stdtls.Certificate
