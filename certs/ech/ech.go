// Package ech makes, keeps and rotates the keys of Encrypted Client Hello
// (RFC 9849), with which a client hides the name of the host it asks for.
//
// Clients learn the public half from an HTTPS record in the DNS ([Record]), and
// from the server itself where theirs is out of date: the retry configs.
package ech

import (
	"crypto/ecdh"
	"crypto/rand"
	stdtls "crypto/tls"
	"fmt"
	"slices"
)

// Key is one key pair with what clients are told of it.
type Key struct {
	// Config is one ECHConfig, the public half (RFC 9849 section 4). It is
	// bound into the encryption, so it must stay as it is to the byte.
	Config []byte
	// Private is the X25519 private key, 32 bytes.
	Private []byte
	// PublicName is the name that eavesdroppers see. Clients verify the
	// server's certificate against it before they believe a retry config, so
	// one for it has to be served.
	PublicName string
	// ID is the config_id, which clients send along.
	ID uint8
	// Retry says that Config is to be published, and sent to clients whose
	// own is out of date. Other keys only accept what they open.
	Retry bool
}

// String names the key without telling it.
func (k Key) String() string { return fmt.Sprintf("ECH key %d of %s", k.ID, k.PublicName) }

// maxKeys bounds a file. crypto/tls tries each key on each ClientHello that
// carries the extension, as every browser's does, and each try costs an X25519
// operation.
const maxKeys = 16

// Generate makes a key pair, marked as to be published (Retry). publicName is a
// DNS name of at least two labels: clients ignore configs with another.
func Generate(publicName string, id uint8) (Key, error) {
	if err := checkPublicName(publicName); err != nil {
		return Key{}, err
	}
	private, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return Key{}, fmt.Errorf("making an ECH key: %v", err)
	}
	c := config{id: id, public: private.PublicKey().Bytes(), publicName: publicName}
	return Key{Config: c.marshal(), Private: private.Bytes(), PublicName: publicName, ID: id, Retry: true}, nil
}

// ForTLS is keys in the form of crypto/tls. They belong into the Config of the
// listener (acceptance) and into each that its GetConfigForClient returns
// (retry configs).
func ForTLS(keys []Key) []stdtls.EncryptedClientHelloKey {
	var converted []stdtls.EncryptedClientHelloKey
	for _, k := range keys {
		converted = append(converted, stdtls.EncryptedClientHelloKey{
			Config: slices.Clone(k.Config), PrivateKey: slices.Clone(k.Private), SendAsRetry: k.Retry,
		})
	}
	return converted
}

// ConfigList is the ECHConfigList of the keys marked Retry: what clients are to
// know, in the DNS or as crypto/tls's EncryptedClientHelloConfigList. It is nil
// if there is none.
func ConfigList(keys []Key) []byte {
	var configs [][]byte
	for _, k := range keys {
		if k.Retry {
			configs = append(configs, k.Config)
		}
	}
	if configs == nil {
		return nil
	}
	return marshalList(configs)
}
