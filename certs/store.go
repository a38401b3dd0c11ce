package certs

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// Store reads certificates and remembers what came of which file, so that
// what has not changed is not read again. Make one with NewStore and keep it
// for as long as there may be reloads. Any goroutine may use it.
type Store struct {
	disk    disk
	interns *interns

	mu     sync.Mutex
	loaded *Source          // by the last Load that succeeded; nil: none has
	known  memory           // what it found
	seen   map[string]stamp // what Changed holds against the disk
}

// NewStore returns a Store that has read nothing yet.
func NewStore() *Store {
	return &Store{disk: realDisk, interns: newInterns()}
}

// Load reads and checks everything that src names, as of now, and returns all
// of it or an error, which names the file and what was expected of it.
//
// Files of which stat(2) says the same as at the last successful Load are not
// read again; a certificate none of whose files have changed is the same
// *Certificate as before. One that is new for the same leaf has the former
// one's staple. A self-signed certificate stays while its names do, until the
// last third of its life.
//
// Expiry is a warning, as in pen, which serves an expired certificate too. So
// is an OCSP response that cannot be read, since clients are served without it.
//
// After an error the Sets of former Loads are as good as they were.
func (st *Store) Load(src Source, now time.Time) (*Set, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	l := &loading{
		disk: st.disk, interns: st.interns, now: now,
		old: st.known, next: newMemory(), seen: map[string]stamp{},
	}
	set, err := l.load(src)
	if err != nil {
		st.failed(l, src)
		return nil, err
	}
	st.loaded, st.known, st.seen = new(src.Clone()), l.next, l.seen
	st.interns.sweep()
	return set, nil
}

// failed has Changed wait for what may mend a Load that failed: for any change
// after it, also of what it did not come to. Only where src is another Source
// than the one in force, Changed goes on watching that one.
func (st *Store) failed(l *loading, src Source) {
	if st.loaded != nil {
		if !st.loaded.Equal(src) {
			return
		}
		for path := range st.seen {
			l.look(path)
		}
	}
	st.seen = l.seen
}

// Changed reports whether any file or directory that the last Load looked at,
// successfully or not, is different now, is gone, or is there and was not; a
// Load that failed for another Source than the one before does not count. It
// costs a stat(2) for each and reads nothing.
func (st *Store) Changed() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	for path, was := range st.seen {
		if st.disk.stat(path) != was {
			return true
		}
	}
	return false
}

// Files returns every file and directory that the last Load looked at,
// successfully or not, in order: for those who check whether another could
// read them.
func (st *Store) Files() []string {
	st.mu.Lock()
	defer st.mu.Unlock()
	return slices.Sorted(maps.Keys(st.seen))
}

// memory is what a Store remembers.
type memory struct {
	files map[fileKey]known
	made  map[slot]made
	cas   *caSet // those of all certificates; kept so that it stays the same one
	self  *Certificate
	names string // for which self was made
}

func newMemory() memory {
	return memory{files: map[fileKey]known{}, made: map[slot]made{}}
}

// fileKey is one file as one kind of thing.
type fileKey struct{ role, path string }

// known is what came of a file, which was so at the time it was read.
type known struct {
	stamp stamp
	value any
}

// slot is a certificate's place: its file, and the name that SNIPath gives it.
type slot struct{ path, name string }

// made is a certificate and what it was made of.
type made struct {
	recipe recipe
	cert   *Certificate
}
