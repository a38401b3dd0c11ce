package h2

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// readBuffer is what a connection holds to read into while nothing comes.
const readBuffer = 4 << 10

// session is a connection with its streams.
type session struct {
	Config
	conn net.Conn

	// The reading goroutine's own.
	in       *bufio.Reader
	frames   *http2.Framer
	fields   *hpack.Decoder
	block    head // the fields that are coming
	blockOf  opening
	readBy   time.Time // the deadline that is set
	temper   temper
	answered int // of what follows, as it was when temper was last told

	mu        sync.Mutex // guards all that follows, and what streams say is guarded by it
	out       outlet
	open      map[uint32]*Stream
	last      uint32 // the highest stream that was opened
	taken     uint32 // the highest whose fields have all come, so that it was begun, or refused
	cut       recent // those that we have ended, of which more may come
	running   int    // Exchanges
	begun     int    // requests, in all
	done      int    // requests that an answer has begun to
	givenUp   int    // requests that the client, or we because of what it sent, have given up before
	givenBack int    // WINDOW_UPDATEs
	restedAt  time.Time
	parting   parting
	over      error // the connection has ended, and why

	window      int64 // bytes that the client takes, of all streams together
	firstWindow int64 // of a stream, at its beginning
	used        int64 // bytes of our window that the client has used
	back        int64 // of these, what can be used again, but was not worth a frame yet

	workers workers
}

// parting is how far the end of a connection has come that goes on until its requests are answered.
type parting int

const (
	staying   parting = iota
	announced         // the client has been told, but may have sent more requests before it heard of it
	parted            // what comes from now on is not answered
)

// opening is a HEADERS frame whose fields are coming.
type opening struct {
	id       uint32
	ended    bool // nothing follows the fields
	stream   *Stream
	ignored  bool // of a stream that we have ended
	received int  // bytes of the block
	by       time.Time
}

// newSession is a connection of which nothing has been read.
func newSession(conn net.Conn, c Config) *session {
	s := &session{Config: c, conn: conn, in: bufio.NewReaderSize(conn, readBuffer), open: map[uint32]*Stream{}, cut: newRecent(c.Streams),
		window: defaultWindow, firstWindow: defaultWindow, restedAt: time.Now()}
	s.frames = http2.NewFramer(nil, s.in)
	s.frames.SetReuseFrames()
	s.frames.SetMaxReadFrameSize(frameMax)
	s.fields = hpack.NewDecoder(4096, s.block.field)
	s.fields.SetMaxStringLength(blockMax(c.HeadMax))
	s.out.init(&s.mu)
	return s
}

// serve is the way of a connection, from its preface to its end.
func (s *session) serve() {
	err := s.begin()
	for err == nil {
		if err = s.awaitFrame(); err == nil {
			err = s.next()
		}
	}
	s.end(err)
	s.workers.all.Wait()
	s.conn.Close()
}

var errPreface = errors.New("the connection does not begin as HTTP/2 does")

// begin says what we can do and checks that the client speaks HTTP/2.
func (s *session) begin() error {
	s.mu.Lock()
	settings := []http2.Setting{
		{ID: http2.SettingMaxConcurrentStreams, Val: uint32(s.Streams)},
		{ID: http2.SettingMaxHeaderListSize, Val: uint32(s.HeadMax)},
		{ID: http2.SettingInitialWindowSize, Val: streamWindow},
	}
	if s.WebSockets {
		settings = append(settings, http2.Setting{ID: http2.SettingEnableConnectProtocol, Val: 1})
	}
	s.out.frames.WriteSettings(settings...)                           //nolint:errcheck // into memory
	s.out.frames.WriteWindowUpdate(0, connectionWindow-defaultWindow) //nolint:errcheck // into memory
	s.mu.Unlock()
	s.kick()
	s.setReadBy(s.HeadTimeout)
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(s.in, preface); err != nil {
		return err
	}
	if !bytes.Equal(preface, []byte(http2.ClientPreface)) {
		return errPreface
	}
	f, err := s.frames.ReadFrame()
	if err != nil {
		return err
	}
	if settings, ok := f.(*http2.SettingsFrame); !ok || settings.IsAck() {
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	return s.take(f)
}

// setReadBy lets the next read take so long; 0: for ever. A connection that is over is not read any more.
func (s *session) setReadBy(d time.Duration) {
	s.readBy = time.Time{}
	if d > 0 {
		s.readBy = time.Now().Add(d)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over == nil {
		s.conn.SetReadDeadline(s.readBy) //nolint:errcheck // a connection that is gone fails the read
	}
}

var errIdle = errors.New("no request for too long")

// frameHeader is how many bytes say what a frame is.
const frameHeader = 9

// awaitFrame waits for a frame's first bytes. A deadline is set again only when an eighth of it has passed; what is no request does not put off the end
// of a connection without any.
func (s *session) awaitFrame() error {
	if s.whole() {
		return nil
	}
	for {
		wait, now := s.Idle, time.Now()
		if s.blockOf.id != 0 {
			wait = time.Until(s.blockOf.by)
			if s.HeadTimeout > 0 && wait <= 0 {
				return http2.ConnectionError(http2.ErrCodeEnhanceYourCalm)
			}
		}
		switch left := s.readBy.Sub(now); {
		case wait <= 0 && !s.readBy.IsZero(), wait > 0 && (s.readBy.IsZero() || left > wait || left < wait-wait/8):
			if s.blockOf.id == 0 && s.rested() {
				return errIdle
			}
			s.setReadBy(wait)
		}
		_, err := s.in.Peek(frameHeader)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		if s.blockOf.id == 0 && s.rested() {
			return errIdle
		}
	}
}

// whole reports whether all of the next frame has been read, so that nothing has to be waited for.
func (s *session) whole() bool {
	if s.in.Buffered() < frameHeader {
		return false
	}
	b, _ := s.in.Peek(frameHeader) // it is there
	return s.in.Buffered() >= frameHeader+(int(b[0])<<16|int(b[1])<<8|int(b[2]))
}

// rested reports whether there has been no request for as long as it may be, and that nothing is under way.
func (s *session) rested() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.over != nil || len(s.open) == 0 && s.running == 0 && s.Idle > 0 && time.Since(s.restedAt) >= s.Idle-s.Idle/8
}

// next reads a frame and does what it says. An error of a stream ends the stream alone.
func (s *session) next() error {
	f, err := s.readFrame()
	if err == nil {
		err = s.take(f)
	}
	if stream, ok := err.(http2.StreamError); ok {
		return s.spoiled(stream)
	}
	return err
}

// readFrame reads one. Where a block of fields cannot be found in it, later blocks could not be understood either.
func (s *session) readFrame() (http2.Frame, error) {
	header, err := s.frames.ReadFrameHeader()
	if err != nil {
		return nil, err
	}
	f, err := s.frames.ReadFrameForHeader(header)
	if stream, ok := err.(http2.StreamError); ok && header.Type == http2.FrameHeaders {
		err = http2.ConnectionError(stream.Code)
	}
	return f, err
}

// spoiled ends a stream because of what the client sent.
func (s *session) spoiled(e http2.StreamError) error {
	if err := s.bother(); err != nil {
		return err
	}
	s.mu.Lock()
	s.givenUp++
	tooMany := s.givenUp > patience+s.done
	if st := s.open[e.StreamID]; st != nil {
		st.cutOff(e.Code)
	} else {
		s.out.frames.WriteRSTStream(e.StreamID, e.Code) //nolint:errcheck // into memory
		s.cut.add(e.StreamID)
	}
	s.mu.Unlock()
	s.kick()
	if tooMany {
		return errAnnoyed
	}
	return nil
}

// errAnnoyed ends connections whose clients keep us busy with nothing.
var errAnnoyed error = http2.ConnectionError(http2.ErrCodeEnhanceYourCalm)

// annoyed reports whether a client has kept us busy with nothing for too long, n more of which has come. What was answered since speaks for it.
func (s *session) annoyed(n float64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.annoyedLocked(n)
}

func (s *session) annoyedLocked(n float64) bool {
	done := s.done + s.out.sent
	s.temper.calm(float64(20 * (done - s.answered)))
	s.answered = done
	return s.temper.add(n, time.Now())
}

// bother is one more of what keeps us busy with nothing.
func (s *session) bother() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.botherLocked()
}

func (s *session) botherLocked() error {
	if s.annoyedLocked(1) {
		return errAnnoyed
	}
	return nil
}

// leave tells the client that no further request will be answered, and ends the connection when those that were sent are. It may have sent some before
// it hears of it: an answer to our PING says that it has (RFC 9113 section 6.8).
func (s *session) leave() {
	s.mu.Lock()
	if s.parting == staying && s.over == nil {
		s.parting = announced
		s.out.frames.WriteGoAway(1<<31-1, http2.ErrCodeNo, nil) //nolint:errcheck // into memory
		s.out.frames.WritePing(false, partingPing)              //nolint:errcheck // into memory
	}
	s.mu.Unlock()
	s.kick()
	time.AfterFunc(partingTime, s.part)
}

var partingPing = [8]byte{'p', 'a', 'r', 't', 'i', 'n', 'g'}

// partingTime is how long a client may take to answer that PING.
const partingTime = time.Second

// part takes no more requests.
func (s *session) part() {
	s.mu.Lock()
	if s.parting == announced && s.over == nil {
		s.parting = parted
		s.out.frames.WriteGoAway(s.taken, http2.ErrCodeNo, nil) //nolint:errcheck // into memory
		s.settle()
	}
	s.mu.Unlock()
	s.kick()
}

// countRequest counts one that was begun. With the last that may be, the client is told that what it has sent behind it is not looked at, and may be sent
// again on another connection (RFC 9113 section 6.8). s.mu is held.
func (s *session) countRequest() {
	if s.begun++; s.Requests > 0 && s.begun >= s.Requests {
		s.parting = parted
		s.out.frames.WriteGoAway(s.taken, http2.ErrCodeNo, nil) //nolint:errcheck // into memory
		s.out.wake(s)
	}
}

// settle ends a connection that is to end when its last stream has. s.mu is held.
func (s *session) settle() {
	if s.parting == parted && len(s.open) == 0 && s.running == 0 && s.over == nil {
		s.over = net.ErrClosed
		s.conn.SetReadDeadline(time.Unix(1, 0)) //nolint:errcheck // it ends the reading, unless that has ended
	}
}

// end tells the client why the connection ends, if that is for us to say, and ends what is under way on it.
func (s *session) end(err error) {
	code := http2.ErrCodeNo
	var wrong http2.ConnectionError
	ours := true
	switch {
	case errors.As(err, &wrong):
		code = http2.ErrCode(wrong)
	case errors.Is(err, http2.ErrFrameTooLarge):
		code = http2.ErrCodeFrameSize
	case err == errPreface:
		code = http2.ErrCodeProtocol
	case err != errIdle && s.isOver() == nil: // the client has left
		ours = false
	}
	s.mu.Lock()
	if s.over == nil {
		s.over = net.ErrClosed
	}
	for _, st := range s.open {
		st.give(errGone)
	}
	if ours && s.parting != parted {
		s.out.frames.WriteGoAway(s.taken, code, nil) //nolint:errcheck // into memory
	}
	s.mu.Unlock()
	if ours {
		s.farewell()
	}
	s.mu.Lock()
	s.out.fail(net.ErrClosed)
	s.mu.Unlock()
	s.dismiss()
	s.conn.Close()
}

func (s *session) isOver() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.over
}

// farewellTime is how long a client may take to read what was written last.
const farewellTime = time.Second

// farewell lets what was written reach the client: a socket that is closed with bytes unread answers with a reset, which would throw that away.
func (s *session) farewell() {
	by := time.Now().Add(farewellTime)
	s.conn.SetWriteDeadline(by) //nolint:errcheck // a connection that is gone fails the write
	s.drain(allOfIt)
	s.mu.Lock()
	for s.out.writing && s.out.err == nil { // somebody else does that
		s.out.room.Wait()
	}
	s.mu.Unlock()
	if c, ok := s.conn.(interface{ CloseWrite() error }); ok {
		c.CloseWrite() //nolint:errcheck // as above
	}
	s.conn.SetReadDeadline(by)  //nolint:errcheck // as above
	io.Copy(io.Discard, s.conn) //nolint:errcheck // nobody needs it
}

// recent remembers some numbers of streams, the last ones.
type recent struct {
	ids []uint32
	at  int
}

// newRecent has room for all streams that there may be at once, twice.
func newRecent(streams int) recent { return recent{ids: make([]uint32, max(64, 2*streams))} }

func (r *recent) add(id uint32) {
	r.ids[r.at%len(r.ids)] = id
	r.at++
}

func (r *recent) has(id uint32) bool {
	for _, one := range r.ids {
		if one == id {
			return true
		}
	}
	return false
}
