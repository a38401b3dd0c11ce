package proxy

import (
	"testing"
	"time"

	"edgepen/proxy/relay"
)

// TestPaceOfUploads: slow senders are ended where they keep a connection of a server, not where they keep a stream of one (gRPC's may be slow).
func TestPaceOfUploads(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		pace := Pace{Rate: 128, Grace: time.Minute}
		c := &connection{snap: &snapshot{Config: Config{BackendHTTP2: h2, BodyPace: pace, ResponsePace: pace}}}
		config := &relay.HTTPConfig{}
		c.manners(config)
		if (config.Upload == pace) == h2 || config.Download != pace {
			t.Errorf("backend_http2 %v: up %v, down %v", h2, config.Upload, config.Download)
		}
	}
}
