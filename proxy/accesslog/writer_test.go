package accesslog

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"edgepen/proxy/logfile"
)

func opened(t *testing.T, name string) *Writer {
	t.Helper()
	w, err := Open(name, func(l logfile.Loss) { t.Errorf("%+v", l) })
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func closed(t *testing.T, w *Writer) {
	t.Helper()
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

// TestFiles: records are in the file of the name, which others cannot read.
func TestFiles(t *testing.T) {
	name := filepath.Join(t.TempDir(), "log")
	w, f := opened(t, name), format(t, "%h")
	w.Record(f, &Record{Client: "192.0.2.1"})
	if err := os.Rename(name, name+".1"); err != nil {
		t.Fatal(err)
	}
	if err := w.Reopen(); err != nil {
		t.Fatal(err)
	}
	w.Record(f, &Record{Client: "192.0.2.2"})
	closed(t, w)
	for path, want := range map[string]string{name + ".1": "192.0.2.1\n", name: "192.0.2.2\n"} {
		text, err := os.ReadFile(path)
		if err != nil || string(text) != want {
			t.Errorf("%s: %q, %v", path, text, err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o027 != 0 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
	}
}

// TestWhatIsNoFile: links are not followed, and what cannot be a log is refused; Check says the same as Open and makes nothing.
func TestWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	link, file, pipe := filepath.Join(dir, "link"), filepath.Join(dir, "file"), filepath.Join(dir, "pipe")
	if err := errors.Join(os.Symlink(file, link), syscall.Mkfifo(pipe, 0o600), os.Mkdir(filepath.Join(dir, "dir"), 0o700)); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		link:                            "symbolic link",
		filepath.Join(dir, "dir"):       "dir",
		filepath.Join(dir, "no", "log"): "no such file",
	} {
		for what, err := range map[string]error{"Check": Check(name), "Open": second(Open(name, nil))} {
			if err == nil || !strings.HasPrefix(err.Error(), "access log: "+name+" ") || !strings.Contains(err.Error(), want) {
				t.Errorf("%s of %s: %v, want %s", what, name, err, want)
			}
		}
	}
	if _, err := Open(pipe, nil); err == nil || !strings.Contains(err.Error(), "nobody reads") {
		t.Errorf("a pipe without a reader: %v", err)
	}
	for _, name := range []string{file, Stdout, "/dev/null", pipe} {
		if err := Check(name); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("Check has made a file")
	}
}

func second(_ *Writer, err error) error { return err }

func TestRecordAllocatesNothing(t *testing.T) {
	w := opened(t, filepath.Join(t.TempDir(), "log"))
	defer closed(t, w)
	f, r := format(t, "json"), sample()
	if n := testing.AllocsPerRun(100, func() { w.Record(f, r) }); n != 0 && !raceDetector {
		t.Errorf("%v allocations", n)
	}
}
