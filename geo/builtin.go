package geo

import (
	"fmt"
	"sync"
)

// builtinName stands for the path of the built-in database.
const builtinName = "built-in"

// Builtin returns the country database that comes with the program, or nil if
// the program was built without it, with the tag nogeodb. It is the same one at
// each call.
//
// Of addresses of special purpose (private ones, loopback, documentation …) it
// knows nothing, whatever the data says, which has had 192.168.0.0/16 in
// Australia. Databases that are given may have countries for them.
//
// It costs 7.5 MiB of the program file, which is read where it lies: the kernel
// can drop it and read it again, and processes share it. What is allocated for
// it, at the first call, is below 100 KiB.
func Builtin() *DB {
	db, err := builtinDB()
	if err != nil {
		return nil
	}
	return db
}

// builtinDB does what Builtin does, but says why there is none where there
// should be one.
var builtinDB = sync.OnceValues(func() (*DB, error) {
	if len(builtinContent) == 0 {
		return nil, nil
	}
	file, err := newDatabase(builtinName, builtinContent)
	if err != nil {
		return nil, fmt.Errorf("built-in geoip database: %v", err)
	}
	file.global = true
	return newDB([]*database{file}), nil
})

func appendBuiltin(files []*database) ([]*database, error) {
	db, err := builtinDB()
	if err != nil {
		return nil, err
	}
	return append(files, db.each()...), nil
}
