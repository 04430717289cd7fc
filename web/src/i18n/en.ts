export const en = {"x": "y"};
