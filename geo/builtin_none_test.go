//go:build nogeodb

package geo

import "testing"

func TestNoBuiltin(t *testing.T) {
	if Builtin() != nil {
		t.Error("built with the tag nogeodb: want no database")
	}
	db, err := new(Store).Open(nil, true)
	if err != nil || db.Has(Country) {
		t.Errorf("got %v, want a DB that knows nothing", err)
	}
}
