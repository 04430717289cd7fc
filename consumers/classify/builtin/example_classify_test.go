package builtin_test

import (
	"context"
	"fmt"

	"intray/consumers/classify/builtin"
	"intray/infra/ai"
)

func ExampleClassifier_Classify() {
	c, err := builtin.New()
	if err != nil {
		fmt.Println(err)
		return
	}
	answer, err := c.Classify(context.Background(), ai.Request{
		Filename: "scan.pdf",
		Text:     "Invoice number 17. Amount due: 120.50 EUR within 30 days. VAT is included.",
		Topics: []ai.Topic{
			{ID: "1", Name: "Invoices", Keywords: []string{"invoice number", "amount due", "VAT"}},
			{ID: "2", Name: "Recipes", Keywords: []string{"flour", "oven", "butter"}},
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, choice := range answer.Choices {
		sure := choice.Confidence >= builtin.MinConfidence
		fmt.Printf("topic %s, confidence reached: %v\n", choice.TopicID, sure)
	}
	fmt.Println("by", answer.Provider)
	// Output:
	// topic 1, confidence reached: true
	// by builtin
}
