package acl

import (
	"fmt"
	"strconv"
)

// PeerField is what a uid or gid entry looks at, in the word that the
// configuration has for it.
type PeerField string

// The fields of a peer on a Unix socket, as the kernel vouches for them
// (SO_PEERCRED in unix(7)).
const (
	PeerUID PeerField = "uid" // the effective user, by number
	PeerGID PeerField = "gid" // the effective group, by number
)

// parseID reads a number of 32 bits. The last one is not a user's: to system
// calls it is -1, "no change".
func parseID(kind, word string) (uint32, error) {
	n, err := strconv.ParseUint(word, 10, 32)
	if err != nil || n == 1<<32-1 {
		return 0, fmt.Errorf("%s %q is not a number from 0 to 4294967294; names are not looked up, id(1) tells the number", kind, word)
	}
	return uint32(n), nil
}

// peerRules are the entries about peers on Unix sockets: by number, the first.
type peerRules struct {
	first      int // none if there are none
	uids, gids map[uint32]int
}

// add adds an entry, which it checks.
func (r *peerRules) add(e Entry, index int) error {
	switch e.Peer {
	case PeerUID:
		keepFirst(&r.uids, e.ID, index)
	case PeerGID:
		keepFirst(&r.gids, e.ID, index)
	default:
		return fmt.Errorf("asks for %q, which peers do not have", e.Peer)
	}
	r.first = min(r.first, index)
	return nil
}

// earlier finds the first of these entries that matches, if it stands before
// entry match; otherwise it is match. If the peer ought to be known and is not,
// the first is as good as matched: see refuses.
func (r *peerRules) earlier(c *Client, match int) int {
	if r.first >= match {
		return match
	}
	if !c.Unix {
		if !c.Addr.IsValid() {
			match = r.first
		}
		return match
	}
	if i, ok := r.uids[c.UID]; ok {
		match = min(match, i)
	}
	if i, ok := r.gids[c.GID]; ok {
		match = min(match, i)
	}
	return match
}

// refuses reports whether the entry that matches does so because the peer is not
// known, so that it might be the one meant, or not.
func (r *peerRules) refuses(c *Client, match int) bool { return match == r.first && !c.Unix }
