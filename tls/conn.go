package tls

import (
	stdtls "crypto/tls"
	"crypto/x509"
	"errors"
	"net"
)

// Conn is a connection whose handshake is done.
type Conn struct {
	*stdtls.Conn
	tap   tap    // above the connection that Handshake was given
	asked string // the name, as in Hello
	ja4   string
}

// NetConn returns the connection that Handshake was given. Reading from it or
// writing to it breaks TLS.
func (c *Conn) NetConn() net.Conn { return c.tap.Conn }

// CloseWrite says that nothing more will be sent: close_notify (RFC 8446
// section 6.1) for the client, then the end of the stream below, if that can
// be half-closed. Reading goes on. It takes up to 5 s if the client does not
// read. The connection's write deadline has passed afterwards.
func (c *Conn) CloseWrite() error {
	err := c.Conn.CloseWrite()
	if transport, ok := c.tap.Conn.(interface{ CloseWrite() error }); ok {
		return errors.Join(err, transport.CloseWrite())
	}
	return err
}

// Info is what logs and rules want to know about a connection.
type Info struct {
	ServerName     string              // the host name the client asked for (SNI), in lower case; "" if none, or no plain host name
	Version        string              // "TLS 1.3"
	CipherSuite    string              // "TLS_AES_128_GCM_SHA256"
	Group          string              // the key exchange: "X25519MLKEM768", "X25519", "P-256"; "" if none was used
	ALPN           string              // the protocol agreed on, "" if none
	Resumed        bool                // the client resumed an earlier session
	ECH            bool                // the name came encrypted
	ClientVerified bool                // the client has a certificate that one of the CAs vouches for
	PeerChain      []*x509.Certificate // that certificate first, its anchor last; nil if there is none
	JA4            string              // the fingerprint, if Checks.Hello asked for it
}

// Info describes the connection. It allocates: call it once.
func (c *Conn) Info() Info {
	state := c.ConnectionState()
	return infoOf(&state, c.asked, c.ja4)
}

func infoOf(state *stdtls.ConnectionState, asked, ja4 string) Info {
	info := Info{
		ServerName:     asked,
		Version:        stdtls.VersionName(state.Version),
		CipherSuite:    stdtls.CipherSuiteName(state.CipherSuite),
		Group:          groupName(state.CurveID),
		ALPN:           state.NegotiatedProtocol,
		Resumed:        state.DidResume,
		ECH:            state.ECHAccepted,
		ClientVerified: len(state.VerifiedChains) > 0,
		JA4:            ja4,
	}
	if info.ClientVerified {
		info.PeerChain = state.VerifiedChains[0]
	}
	return info
}

// groupName is the name of a group as people write it, "" for none.
func groupName(id stdtls.CurveID) string {
	switch id {
	case 0:
		return ""
	case stdtls.CurveP256:
		return "P-256"
	case stdtls.CurveP384:
		return "P-384"
	case stdtls.CurveP521:
		return "P-521"
	}
	return id.String()
}
