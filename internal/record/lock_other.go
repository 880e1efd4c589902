//go:build !unix

package record

import "os"

// lockFile only makes the file: this system has no advisory lock that ends with the process.
func lockFile(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
}
