//go:build !nogeodb

package geo

import _ "embed"

//go:embed builtin/country.mmdb
var builtinContent []byte
