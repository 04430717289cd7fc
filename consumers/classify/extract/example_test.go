package extract_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"intray/consumers/classify/extract"
)

func Example() {
	e, err := extract.New(extract.Config{MaxRunes: 40})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer e.Close()
	f, err := os.Open("testdata/letter.html")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer f.Close()
	found, err := e.Text(context.Background(), f, -1, "text/plain")
	switch {
	case errors.Is(err, extract.ErrEncrypted):
		fmt.Println("the document needs a password")
		return
	case err != nil:
		fmt.Println(err)
		return
	}
	fmt.Println(found.Kind, "declared as something else:", found.TypeMismatch)
	fmt.Printf("%s\ntruncated: %v\n", found.Text, found.Truncated)
	// Output:
	// text/html declared as something else: true
	// Your insurance policy
	// Dear Mrs Example,
	// truncated: true
}
