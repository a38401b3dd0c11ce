package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"edgepen/certs/acme/acmetest"

	"github.com/rogpeppe/go-internal/testscript"
)

// patience is how long a script waits for anything that is bound to happen: long, for a machine that is busy.
const patience = 20 * time.Second

// runTime is how long all scripts together may take, many times what they need.
const runTime = 8 * time.Minute

// TestScripts runs the programs as their users do: every file of testdata/script is a page about one behaviour.
//
// A script has its own directory $WORK and its own ports $PORT1 to $PORT9. The programs of the project are on the path, and
// the real pen, where it is installed, is $ORIGINAL with $ORIGINALCTL; $USER is who runs the tests, and $SOURCE the directory
// of the project. Beside the commands of testscript it has those of commands; conditions are [original], [root], [netns],
// [networks], [mounts] and testscript's own.
func TestScripts(t *testing.T) {
	bin := buildPrograms(t)
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH")+string(os.PathListSeparator)+"/usr/sbin")
	pki := &certificates{dir: t.TempDir()}
	testscript.Run(t, testscript.Params{
		Dir:                filepath.Join("..", "..", "testdata", "script"),
		RequireUniqueNames: true,
		Setup:              func(env *testscript.Env) error { return setup(env, pki) },
		Condition:          condition,
		Cmds:               commands(),
		Deadline:           time.Now().Add(runTime), // for a program that ought to have failed and serves instead
	})
}

// buildPrograms makes all programs, and h3test, which speaks HTTP/3 to them; pen starts itself anew as a daemon, so it has to be a program of its own.
func buildPrograms(t *testing.T) (dir string) {
	dir = t.TempDir()
	args := []string{"build", "-o", dir + string(filepath.Separator)}
	if raceDetector {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, "edgepen/cmd/...", "edgepen/proxy/h3/h3test")...).CombinedOutput()
	if err != nil {
		t.Fatalf("building the programs: %v\n%s", err, out)
	}
	return dir
}

// The real pen, as Debian installs it.
const (
	original    = "/usr/bin/pen"
	originalCtl = "/usr/bin/penctl"
)

func condition(name string) (bool, error) {
	switch name {
	case "original":
		_, err := os.Stat(original)
		return err == nil, nil
	case "root":
		return os.Geteuid() == 0, nil
	case "netns": // not even root may have networks of its own in every container
		return exec.Command("unshare", "-n", "true").Run() == nil, nil
	case "networks": // with names, which several programs can be in, and linked to one another
		return exec.Command("unshare", "-n", "-m", "sh", "-c", "mount -t tmpfs none /run && ip netns add x && ip -n x link add eth0 type veth peer name eth1").Run() == nil, nil
	case "mounts": // nor mounts that nobody else sees
		return exec.Command("unshare", "-m", "mount", "--bind", "/tmp", "/tmp").Run() == nil, nil
	}
	return false, fmt.Errorf("unknown condition %q", name)
}

func commands() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"ask":              ask,
		"await":            await,
		"background":       background,
		"balance":          balance,
		"burst":            burst,
		"capture":          capture,
		"certify":          certify,
		"choices":          choices,
		"closed":           closed,
		"crl":              crl,
		"deaf":             deaf,
		"der":              der,
		"datagram-servers": datagramServers,
		"datagrams":        datagrams,
		"dial":             dial,
		"disperse":         disperse,
		"ech":              ech,
		"ended-ocsp":       endedOCSP,
		"ends":             ends,
		"eventually":       eventually,
		"file-servers":     fileServers,
		"fill":             fill,
		"finish":           finish,
		"flood":            flood,
		"gather":           gather,
		"garbled":          garbled,
		"gate":             gate,
		"greeters":         greeters,
		"hangup":           hangup,
		"hear":             hear,
		"hear-datagrams":   hearDatagrams,
		"hello":            hello,
		"issue":            issue,
		"mmdb":             mmdb,
		"module":           module,
		"namespaces":       namespaces,
		"npm":              npm,
		"observe":          observe,
		"occupy":           occupy,
		"piecemeal":        piecemeal,
		"pebble":           pebble,
		"pki":              pki,
		"raw":              raw,
		"refused":          refused,
		"reload-refused":   reloadRefused,
		"reset":            reset,
		"reloads":          reloads,
		"repeat":           repeat,
		"replace":          replace,
		"s_client":         sClient,
		"send":             send,
		"servers":          servers,
		"signal":           sendSignal,
		"silent":           silent,
		"sockets":          sockets,
		"start-refused":    startRefused,
		"status":           status,
		"stop-server":      stopServer,
		"within":           within,
		"ws":               websocket,
	}
}

// world is what a running script has started.
type world struct {
	t         testscript.T
	work      string
	pki       *certificates
	running   map[string]*process
	backends  map[string]*backendServer
	clients   map[string]*client
	crowds    map[string]*crowd
	authority *acmetest.Pebble // nil: none
	record    *record          // what a differential scenario observes; nil in others
}

type worldKey struct{}

func worldOf(ts *testscript.TestScript) *world { return ts.Value(worldKey{}).(*world) }

func setup(env *testscript.Env, pki *certificates) error {
	w := &world{t: env.T(), work: env.WorkDir, pki: pki,
		running: map[string]*process{}, backends: map[string]*backendServer{}, clients: map[string]*client{}, crowds: map[string]*crowd{}}
	env.Values[worldKey{}] = w
	env.Defer(w.end)
	// A pen that has become another user still has to reach its files.
	if err := os.Chmod(filepath.Dir(env.WorkDir), 0o711); err != nil {
		return err
	}
	for n := 1; n <= 9; n++ {
		port, err := ports.next()
		if err != nil {
			return err
		}
		env.Setenv("PORT"+strconv.Itoa(n), strconv.Itoa(port))
	}
	env.Setenv("PATH", os.Getenv("PATH"))
	me, err := user.Current()
	if err != nil {
		return err
	}
	env.Setenv("USER", me.Username)
	source, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		return err
	}
	env.Setenv("SOURCE", source)
	env.Setenv("ORIGINAL", original)
	env.Setenv("ORIGINALCTL", originalCtl)
	env.Setenv("GORACE", "atexit_sleep_ms=0 log_path="+filepath.Join(env.WorkDir, raceLog))
	return nil
}

// raceLog is how the race detector's reports are named, with a process id behind.
const raceLog = "race-report"

// ports hands out ports that no other script of this run gets. Where several runs share a machine, each is told its own range:
// TEST_PORTS=FROM-TO.
var ports = portsFrom(os.Getenv("TEST_PORTS"))

// registry counts upwards, below the ports from which the system serves those who connect.
type registry struct {
	mu           sync.Mutex
	from, at, to int
}

func portsFrom(given string) *registry {
	r := &registry{from: 10240, to: 32000}
	if n, _ := fmt.Sscanf(given, "%d-%d", &r.from, &r.to); n == 2 {
		r.at = r.from
		return r
	}
	r.at = r.from + rand.IntN(10000)
	return r
}

func (r *registry) next() (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for range r.to - r.from {
		if r.at++; r.at >= r.to {
			r.at = r.from
		}
		if free(r.at) {
			return r.at, nil
		}
	}
	return 0, fmt.Errorf("no free port from %d to %d", r.from, r.to-1)
}

func free(port int) bool {
	ln, err := net.Listen("tcp", ":"+strconv.Itoa(port))
	if err != nil {
		return false
	}
	ln.Close()
	return true
}

// fill puts $WORK and $PORT1 to $PORT9 into files, for programs that do not look at the environment.
func fill(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: fill FILE…")
	}
	pairs := []string{"$WORK", ts.Getenv("WORK")}
	for n := 1; n <= 9; n++ {
		name := "PORT" + strconv.Itoa(n)
		pairs = append(pairs, "$"+name, ts.Getenv(name))
	}
	for _, name := range args {
		text := strings.NewReplacer(pairs...).Replace(ts.ReadFile(name))
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o600))
	}
}

// repeat writes a file of N bytes, the same ones every time: repeat N FILE.
func repeat(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: repeat BYTES FILE")
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), pattern(n), 0o600))
}

// pattern is n bytes in which a lost or doubled piece shows.
func pattern(n int) []byte {
	b := make([]byte, 0, n+16)
	for i := 0; len(b) < n; i++ {
		b = fmt.Appendf(b, "%09d\n", i)
	}
	return b[:n]
}
