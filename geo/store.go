package geo

import (
	"fmt"
	"slices"
	"sync"
)

// Store opens databases and remembers what came of which file, so that what has
// not changed is not read again. The zero Store has opened nothing; keep one for
// as long as there may be reloads. Any goroutine may use it.
type Store struct {
	mu    sync.Mutex
	db    *DB // by the last Open that succeeded; nil: none has
	paths []string
	known map[string]known // what was read for db
	seen  map[string]stamp // what Changed holds against the disk
}

// known is what came of a file, which was so at the time it was read.
type known struct {
	stamp stamp
	file  *database
}

// Open reads databases, in the order in which they are asked, and puts the
// built-in one after them where that is wanted and there is one. Without either
// the DB knows nothing. Errors name the file and what was expected of it.
//
// Files of which stat(2) says the same as at the last Open that succeeded are
// not read again, and if nothing at all has changed, the DB is the same one.
// After an error the DBs of former Opens are as good as they were.
func (st *Store) Open(paths []string, builtin bool) (*DB, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	seen := map[string]stamp{}
	for _, path := range paths {
		seen[path] = look(path) // before it is read: what is written meanwhile is a change
	}
	next := map[string]known{}
	files, err := st.read(paths, seen, next)
	if err == nil && builtin {
		files, err = appendBuiltin(files)
	}
	if err != nil {
		// A mistake in new settings does not end the watch over those in force.
		if st.db == nil || slices.Equal(paths, st.paths) {
			st.seen = seen
		}
		return nil, err
	}
	if st.db == nil || !slices.Equal(files, st.db.files) {
		st.db = newDB(files)
	}
	st.paths, st.known, st.seen = slices.Clone(paths), next, seen
	return st.db, nil
}

// read returns the database of each path, known already or read now, and notes
// them in next.
func (st *Store) read(paths []string, seen map[string]stamp, next map[string]known) ([]*database, error) {
	var files []*database
	for _, path := range paths {
		k, ok := next[path]
		if !ok {
			k, ok = st.known[path]
		}
		if !ok || k.stamp != seen[path] {
			content, err := read(path)
			if err != nil {
				return nil, err
			}
			file, err := newDatabase(path, content)
			if err != nil {
				return nil, fmt.Errorf("geoip database %s: %v", path, err)
			}
			k = known{seen[path], file}
		}
		next[path] = k
		files = append(files, k.file)
	}
	return files, nil
}

// Changed reports whether any file that the last Open looked at, successfully or
// not, is different now, is gone, or is there and was not; an Open that failed
// for other paths than the one before does not count. It costs a stat(2) for
// each and reads nothing.
func (st *Store) Changed() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	for path, was := range st.seen {
		if look(path) != was {
			return true
		}
	}
	return false
}
