// Package docs holds those pages of the documentation that the program itself quotes.
package docs

import _ "embed"

// Files is the page on what bench writes: the meaning of every field of every file.
//
//go:embed files.md
var Files string
