package schema

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// inspect calls look with every node of package record's source, with the comments.
func inspect(t *testing.T, look func(ast.Node) bool) {
	t.Helper()
	files, err := filepath.Glob("../record/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, look)
	}
}

// TestEverythingIsListed: each schema version and each value of an enumerated type that package record names is in some
// document.
func TestEverythingIsListed(t *testing.T) {
	listed := map[string]bool{}
	for _, version := range schemas {
		listed[version] = true
	}
	values, total := map[string][]string{}, 0 // by type
	for kind, vs := range enums {
		values[kind.Name()] = vs
		total += len(vs)
	}
	versions, constants := 0, 0
	inspect(t, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		literal, ok := spec.Values[0].(*ast.BasicLit)
		if !ok || literal.Kind != token.STRING {
			return true
		}
		value, err := strconv.Unquote(literal.Value)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(spec.Names[0].Name, "Schema") {
			if versions++; !listed[value] {
				t.Errorf("no document of `bench schema` has the version %s", value)
			}
		}
		if kind, ok := spec.Type.(*ast.Ident); ok {
			if constants++; !slices.Contains(values[kind.Name], value) {
				t.Errorf("%s %q is not among %v", kind.Name, value, values[kind.Name])
			}
		}
		return true
	})
	if versions != len(schemas) || constants != total {
		t.Errorf("%d versions and %d values in package record, %d and %d listed", versions, constants, len(schemas), total)
	}
}

// TestNeverNull: the lists that schemas call never null are those whose comments do.
func TestNeverNull(t *testing.T) {
	promised := map[string]bool{}
	inspect(t, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		fields, ok := spec.Type.(*ast.StructType)
		if !ok {
			return true
		}
		for _, f := range fields.Fields.List {
			said := strings.ToLower(strings.Join(strings.Fields(f.Doc.Text()+" "+f.Comment.Text()), " "))
			if f.Tag != nil && (strings.Contains(said, "never null") || strings.Contains(said, "never empty")) {
				promised[spec.Name.Name+"."+f.Names[0].Name] = true
			}
		}
		return true
	})
	if !maps.Equal(promised, neverNull) {
		t.Errorf("comments promise %v,\nschemas %v", slices.Sorted(maps.Keys(promised)), slices.Sorted(maps.Keys(neverNull)))
	}
}

// TestSchemas: what is printed is one JSON object whose references lead somewhere.
func TestSchemas(t *testing.T) {
	for _, d := range Documents() {
		data, err := json.Marshal(d.Schema())
		if err != nil {
			t.Fatal(err)
		}
		var object struct {
			Defs map[string]any `json:"$defs"`
		}
		if err := json.Unmarshal(data, &object); err != nil {
			t.Fatal(err)
		}
		for _, ref := range strings.Split(string(data), `"$ref":"#/$defs/`)[1:] {
			if name, _, _ := strings.Cut(ref, `"`); object.Defs[name] == nil {
				t.Errorf("%s refers to %s, which it does not define", d.Name, name)
			}
		}
	}
	if _, err := Find("records"); err == nil || !strings.Contains(err.Error(), "run, verify, record, request") {
		t.Errorf("a wrong name: %v", err)
	}
}
