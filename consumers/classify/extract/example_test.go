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
	result, err := e.Text(context.Background(), f, -1, "text/plain")
	switch {
	case errors.Is(err, extract.ErrEncrypted):
		fmt.Println("the document needs a password")
		return
	case err != nil:
		fmt.Println(err)
		return
	}
	fmt.Println(result.Kind, "differs from the declared type:", result.TypeMismatch)
	fmt.Printf("%s\ntruncated: %v\n", result.Text, result.Truncated)
	// Output:
	// text/html differs from the declared type: true
	// Your insurance policy
	// Dear Mrs Example,
	// truncated: true
}
