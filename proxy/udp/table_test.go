package udp

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
)

// TestTable holds the table to a model that does it the slow way: a slice of keys, the oldest first.
func TestTable(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	table, model := newTable(), []string{}
	flows := map[string]*flow{}
	for step := range 20000 {
		key := strconv.Itoa(r.IntN(40))
		i := slices.Index(model, key)
		switch f := table.get([]byte(key)); {
		case (f != nil) != (i >= 0) || f != nil && f != flows[key]:
			t.Fatalf("step %d: get %s is %v, the model has it at %d", step, key, f, i)
		case f == nil:
			f = &flow{key: key}
			flows[key] = f
			table.add(f)
			model = append(model, key)
		case r.IntN(3) == 0:
			table.remove(f)
			model = slices.Delete(model, i, i+1)
		default:
			table.order.touch(f)
			model = append(slices.Delete(model, i, i+1), key)
		}
		if table.len() != len(model) {
			t.Fatalf("step %d: length %d, want %d", step, table.len(), len(model))
		}
		checkOrder(t, table, model)
	}
}

func checkOrder(t *testing.T, table *table, want []string) {
	t.Helper()
	got := []string{}
	var older *flow
	for f := table.order.oldest; f != nil; older, f = f, f.places[ofAll].newer {
		if f.places[ofAll].older != older {
			t.Fatalf("the neighbours of %s do not know it", f.key)
		}
		got = append(got, f.key)
	}
	if table.order.newest != older {
		t.Fatalf("the newest is %v, not the last", table.order.newest)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("from the oldest: %v, want %v", got, want)
	}
}

func length(q *queue) (n int) {
	for f := q.oldest; f != nil; f = f.places[q.links].newer {
		n++
	}
	return n
}
