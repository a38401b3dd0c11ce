package h2

import (
	"errors"
	"time"

	"golang.org/x/net/http2"

	"edgepen/httpx"
)

// take does what a frame says.
func (s *session) take(f http2.Frame) error {
	switch f := f.(type) {
	case *http2.HeadersFrame:
		return s.takeHeaders(f)
	case *http2.ContinuationFrame:
		return s.takeFields(f.HeaderBlockFragment(), f.HeadersEnded())
	case *http2.DataFrame:
		return s.takeData(f)
	case *http2.WindowUpdateFrame:
		return s.takeWindow(f)
	case *http2.RSTStreamFrame:
		return s.takeReset(f)
	case *http2.SettingsFrame:
		return s.takeSettings(f)
	case *http2.PingFrame:
		return s.takePing(f)
	case *http2.PriorityFrame:
		if f.StreamDep == f.StreamID {
			return http2.StreamError{StreamID: f.StreamID, Code: http2.ErrCodeProtocol}
		}
	case *http2.GoAwayFrame: // it opens no more streams; what is under way goes on
	case *http2.PushPromiseFrame:
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	return s.bother() // by what changes nothing, and what we do not know (RFC 9113 section 5.5)
}

// takeHeaders begins a request, or the trailer of one.
func (s *session) takeHeaders(f *http2.HeadersFrame) error {
	id := f.StreamID
	s.blockOf = opening{id: id, ended: f.StreamEnded(), by: time.Now().Add(s.HeadTimeout)}
	s.mu.Lock()
	st := s.open[id]
	var err error
	switch {
	case id%2 == 0:
		err = http2.ConnectionError(http2.ErrCodeProtocol)
	case st != nil && st.bodyEnded:
		err = http2.ConnectionError(http2.ErrCodeStreamClosed)
	case st != nil:
		s.blockOf.stream = st
	case id > s.last:
		s.last = id
	case s.cut.has(id):
		s.blockOf.ignored = true
	default:
		err = http2.ConnectionError(http2.ErrCodeStreamClosed)
	}
	s.mu.Unlock()
	if err != nil {
		return err
	}
	s.block.reset(s.HeadMax, st != nil)
	if f.HasPriority() && f.Priority.StreamDep == id {
		s.block.malformed = errDependence
	}
	return s.takeFields(f.HeaderBlockFragment(), f.HeadersEnded())
}

var errDependence = errors.New("a stream that depends on itself")

// blockMax is how many bytes a block of fields may have that was encoded: more than its fields may, so that those of a head that is too large are
// understood nevertheless.
func blockMax(headMax int) int { return 2*headMax + frameMax }

// takeFields decodes part of a block of fields. Whatever becomes of the stream, all of it has to be: what later blocks mean depends on it.
func (s *session) takeFields(fragment []byte, ended bool) error {
	s.blockOf.received += len(fragment) + frameHeader
	if s.blockOf.received > blockMax(s.HeadMax) { // CVE-2024-27316: CONTINUATION without end
		return errAnnoyed
	}
	if _, err := s.fields.Write(fragment); err != nil {
		return http2.ConnectionError(http2.ErrCodeCompression)
	}
	if !ended {
		return nil
	}
	if s.fields.Close() != nil {
		return http2.ConnectionError(http2.ErrCodeCompression)
	}
	of := s.blockOf
	s.blockOf = opening{}
	switch {
	case of.ignored:
		return nil
	case of.stream != nil:
		return s.takeTrailer(of)
	}
	return s.takeRequest(of)
}

// takeTrailer ends a request's body.
func (s *session) takeTrailer(of opening) error {
	if !of.ended || s.block.malformed != nil || s.block.large {
		return http2.StreamError{StreamID: of.id, Code: http2.ErrCodeProtocol}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return of.stream.endBody(s.block.appendTrailer(nil))
}

// takeRequest begins a stream, or refuses it.
func (s *session) takeRequest(of opening) error {
	err := s.block.check(of.ended)
	if err == nil && s.block.protocol != "" && !s.WebSockets { // which nobody has offered (RFC 8441 section 4)
		err = errProtocol
	}
	if err != nil && !s.block.large {
		s.refused(0, 0, err)
		return http2.StreamError{StreamID: of.id, Code: http2.ErrCodeProtocol}
	}
	s.mu.Lock()
	s.taken = of.id
	switch {
	case s.parting == parted: // as GOAWAY has said
		s.cut.add(of.id)
		s.mu.Unlock()
		return s.bother()
	case len(s.open) >= s.Streams, s.running >= 2*s.Streams:
		s.out.frames.WriteRSTStream(of.id, http2.ErrCodeRefusedStream) //nolint:errcheck // into memory
		s.cut.add(of.id)
		s.out.wake(s)
		s.mu.Unlock()
		return s.bother()
	}
	st := newStream(s, of)
	s.open[of.id] = st
	s.running++
	s.countRequest()
	s.mu.Unlock()
	if s.block.large {
		st.page = httpx.AppendErrorPage(nil, 431, errLarge.Error(), st.answer.IsHead)
		s.refused(431, len(st.page), errLarge)
	}
	s.start(st)
	return nil
}

var errLarge = errors.New("header too large")

// refused tells who wants to know of the request at hand that it is none.
func (s *session) refused(status, page int, why error) {
	if h := &s.block; s.Refused != nil {
		s.Refused(&Refusal{h.method, h.path, h.authority, status, page, why})
	}
}

// takeData takes part of a body.
func (s *session) takeData(f *http2.DataFrame) error {
	n := int64(f.Length) // with padding, which counts as well (RFC 9113 section 6.9.1)
	if len(f.Data()) == 0 && !f.StreamEnded() && s.annoyed(1) {
		return errAnnoyed
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used += n; s.used > connectionWindow {
		return http2.ConnectionError(http2.ErrCodeFlowControl)
	}
	st := s.open[f.StreamID]
	switch {
	case st == nil && f.StreamID > s.last:
		return http2.ConnectionError(http2.ErrCodeProtocol)
	case st == nil:
		s.giveBack(n)
		if s.cut.has(f.StreamID) {
			return nil
		}
		return http2.StreamError{StreamID: f.StreamID, Code: http2.ErrCodeStreamClosed}
	}
	if err := st.takeBody(f.Data(), n); err != nil {
		s.giveBack(n)
		return err
	}
	if f.StreamEnded() {
		return st.endBody(nil)
	}
	return nil
}

// giveBack lets the client send n bytes again, once enough has come together to be worth a frame. s.mu is held.
func (s *session) giveBack(n int64) {
	if s.back += n; s.back >= connectionWindow/2 {
		s.out.frames.WriteWindowUpdate(0, uint32(s.back)) //nolint:errcheck // into memory
		s.used, s.back = s.used-s.back, 0
		s.out.wake(s)
	}
}

// windowMax is the largest window there may be (RFC 9113 section 6.9.1).
const windowMax = 1<<31 - 1

// hasty reports whether a client gives back more often than what it was sent accounts for, which may be two frames for each, and late.
func (s *session) hasty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.givenBack++
	return s.givenBack > 1000+4*(s.out.sent+s.done)
}

// takeWindow lets more be sent.
func (s *session) takeWindow(f *http2.WindowUpdateFrame) error {
	if s.hasty() && s.annoyed(0.5) {
		return errAnnoyed
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.StreamID == 0 {
		if s.window += int64(f.Increment); s.window > windowMax {
			return http2.ConnectionError(http2.ErrCodeFlowControl)
		}
		s.out.room.Broadcast()
		return nil
	}
	st := s.open[f.StreamID]
	switch {
	case st == nil && f.StreamID > s.last:
		return http2.ConnectionError(http2.ErrCodeProtocol)
	case st == nil:
		return nil
	}
	if st.window += int64(f.Increment); st.window > windowMax {
		return http2.StreamError{StreamID: f.StreamID, Code: http2.ErrCodeFlowControl}
	}
	s.out.room.Broadcast()
	return nil
}

// takeReset ends a stream as the client wishes.
func (s *session) takeReset(f *http2.RSTStreamFrame) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.open[f.StreamID]
	switch {
	case st == nil && f.StreamID > s.last:
		return http2.ConnectionError(http2.ErrCodeProtocol)
	case st == nil:
		return s.botherLocked()
	}
	st.give(errGone)
	st.shut()
	if !st.begun {
		s.givenUp++
	}
	if s.givenUp > patience+s.done {
		return errAnnoyed
	}
	return nil
}

// takeSettings does as the client wishes.
func (s *session) takeSettings(f *http2.SettingsFrame) error {
	if f.IsAck() {
		return s.bother()
	}
	if s.annoyed(max(1, float64(f.NumSettings())/10)) { // there are ten that a client may have to say
		return errAnnoyed
	}
	s.mu.Lock()
	err := f.ForeachSetting(s.set)
	if err == nil {
		s.out.frames.WriteSettingsAck() //nolint:errcheck // into memory
	}
	s.mu.Unlock()
	s.kick()
	return err
}

// set is one setting. s.mu is held.
func (s *session) set(one http2.Setting) error {
	if err := one.Valid(); err != nil {
		return err
	}
	switch one.ID {
	case http2.SettingHeaderTableSize:
		s.out.fields.SetMaxDynamicTableSize(min(one.Val, 4096))
	case http2.SettingInitialWindowSize:
		more := int64(one.Val) - s.firstWindow
		s.firstWindow = int64(one.Val)
		for _, st := range s.open {
			if st.window += more; st.window > windowMax {
				return http2.ConnectionError(http2.ErrCodeFlowControl)
			}
		}
		s.out.room.Broadcast()
	}
	return nil
}

// takePing answers.
func (s *session) takePing(f *http2.PingFrame) error {
	if f.IsAck() {
		if f.Data == partingPing {
			s.part()
		}
		return s.bother()
	}
	if err := s.bother(); err != nil {
		return err
	}
	s.mu.Lock()
	s.out.frames.WritePing(true, f.Data) //nolint:errcheck // into memory
	s.mu.Unlock()
	s.kick()
	return nil
}
