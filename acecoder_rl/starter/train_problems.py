"""The starter set's training problems, one a line: `function | what it returns | reference | inputs`.

Covers: the table that build.py makes train.jsonl from. The inputs' letters are explained in inputs.py.
Does not cover: the functions of the eval split (eval_problems.py): none of them is here, under any name.
"""
# ruff: noqa: E501

PROBLEMS = r"""
add(a, b) | the sum of a and b | a + b | i i
subtract(a, b) | a minus b | a - b | i i
multiply(a, b) | the product of a and b | a * b | i i
square(n) | the square of n | n * n | i
double(n) | n times 2 | n * 2 | i
half(n) | n divided by 2, rounded down | n // 2 | i
increment(n) | n plus 1 | n + 1 | i
negate(n) | the negative of n | -n | i
remainder(a, b) | the remainder of a divided by b | a % b | m p
power(a, b) | a to the power of b | a ** b | k k
average_of_two(a, b) | the average of a and b | (a + b) / 2 | i i
sum_of_three(a, b, c) | the sum of a, b and c | a + b + c | i i i
product_of_three(a, b, c) | the product of a, b and c | a * b * c | k k k
difference(a, b) | the absolute difference of a and b | abs(a - b) | i i
rectangle_area(width, height) | the area of a rectangle with the given width and height | width * height | p p
square_area(side) | the area of a square with the given side | side * side | p
cube_volume(side) | the volume of a cube with the given side | side ** 3 | p
square_perimeter(side) | the perimeter of a square with the given side | 4 * side | p
triangle_perimeter(a, b, c) | the perimeter of a triangle with sides a, b and c | a + b + c | p p p
diameter(radius) | the diameter of a circle with the given radius | 2 * radius | p
hours_to_minutes(hours) | the number of minutes in the given hours | hours * 60 | n
days_to_hours(days) | the number of hours in the given days | days * 24 | n
weeks_to_days(weeks) | the number of days in the given weeks | weeks * 7 | n
meters_to_centimeters(meters) | the number of centimeters in the given meters | meters * 100 | n
kilograms_to_grams(kg) | the number of grams in kg kilograms | kg * 1000 | n
years_to_months(years) | the number of months in the given years | years * 12 | n
dollars_to_cents(dollars) | the number of cents in the given dollars | dollars * 100 | n
feet_to_inches(feet) | the number of inches in the given feet | feet * 12 | n
total_price(price, quantity) | the price times the quantity | price * quantity | p n
price_after_discount(price, discount) | the price minus the discount | price - discount | m n
change(paid, cost) | the paid amount minus the cost | paid - cost | m n
distance(speed, time) | the distance travelled at the given speed in the given time | speed * time | n n
age(birth_year, current_year) | the current year minus the birth year | current_year - birth_year | m m
score_total(wins, draws) | 3 points for each win plus 1 point for each draw | 3 * wins + draws | n n
legs(dogs, birds) | the number of legs of the given dogs (4 each) and birds (2 each) | 4 * dogs + 2 * birds | n n
is_even(n) | True if n is even | n % 2 == 0 | i
is_positive(n) | True if n is greater than 0 | n > 0 | i~0
is_zero(n) | True if n is 0 | n == 0 | k
is_greater(a, b) | True if a is greater than b | a > b | k k
is_equal(a, b) | True if a equals b | a == b | g g
is_divisible_by_three(n) | True if n is divisible by 3 | n % 3 == 0 | i
is_divisible(a, b) | True if a is divisible by b | a % b == 0 | m q
is_multiple_of_ten(n) | True if n is a multiple of 10 | n % 10 == 0 | t
is_adult(age) | True if age is at least 18 | age >= 18 | v~18
is_teenager(age) | True if age is from 13 to 19, inclusive | 13 <= age <= 19 | v~13,19
is_between(n, low, high) | True if n is between low and high, inclusive | low <= n <= high | i i i
both_positive(a, b) | True if both a and b are positive | a > 0 and b > 0 | i~0 i~0
either_zero(a, b) | True if a or b is zero | a == 0 or b == 0 | g g
both_true(a, b) | True if both a and b are True | a and b | b b
either_true(a, b) | True if a or b is True | a or b | b b
opposite(flag) | the opposite of the boolean flag | not flag | b
is_single_digit(n) | True if n is from 0 to 9, inclusive | 0 <= n <= 9 | i~0,9
same_sign(a, b) | True if a and b are both positive or both negative | a * b > 0 | y y
ends_with_zero(n) | True if the last digit of n is 0 | n % 10 == 0 | t
is_passing(score) | True if the score is 50 or more | score >= 50 | v~50
is_hot(temperature) | True if the temperature is above 30 | temperature > 30 | v~30
is_freezing(temperature) | True if the temperature is below 0 | temperature < 0 | i~0
maximum(a, b) | the larger of a and b | max(a, b) | i i
max_of_three(a, b, c) | the largest of a, b and c | max(a, b, c) | i i i
absolute(n) | the absolute value of n | abs(n) | i
clip_at_zero(n) | n if n is positive, otherwise 0 | max(n, 0) | y
at_most_hundred(n) | the smaller of n and 100 | min(n, 100) | m~100
last_digit(n) | the last digit of the positive number n | n % 10 | m
number_of_digits(n) | the number of digits of the positive number n | len(str(n)) | m
sign(n) | 1 if n is positive, -1 if n is negative, and 0 if n is zero | (n > 0) - (n < 0) | i~0
even_or_odd(n) | 'even' if n is even, otherwise 'odd' | 'even' if n % 2 == 0 else 'odd' | i
pass_or_fail(score) | 'pass' if the score is at least 60, otherwise 'fail' | 'pass' if score >= 60 else 'fail' | v~60
yes_or_no(flag) | 'yes' if flag is True, otherwise 'no' | 'yes' if flag else 'no' | b
bigger_or_smaller(a, b) | 'bigger' if a is greater than b, otherwise 'smaller' | 'bigger' if a > b else 'smaller' | k k
factorial(n) | the factorial of n | 1 if n == 0 else n * factorial(n - 1) | k
sum_to_n(n) | the sum of the numbers from 1 to n | n * (n + 1) // 2 | n
sum_of_digits(n) | the sum of the digits of n | sum(int(c) for c in str(n)) | m
sum_of_squares(n) | the sum of the squares of the numbers from 1 to n | sum(i * i for i in range(1, n + 1)) | n
to_upper(s) | the string s in upper case | s.upper() | s
reverse_string(s) | the string s reversed | s[::-1] | s
string_length(s) | the length of the string s | len(s) | e
first_char(s) | the first character of the string s | s[0] | s
first_two(s) | the first two characters of the string s | s[:2] | s
repeat_string(s, n) | the string s repeated n times | s * n | s k
concat(a, b) | the strings a and b joined together | a + b | e e
full_name(first, last) | the first name and the last name separated by a space | first + ' ' + last | s s
greet(name) | 'Hello, ' followed by the name | 'Hello, ' + name | s
add_exclamation(s) | the string s with '!' at the end | s + '!' | s
starts_with(s, prefix) | True if the string s starts with the prefix | s.startswith(prefix) | x y2
contains(s, sub) | True if the string s contains sub | sub in s | x y2
is_empty(s) | True if the string s is empty | s == '' | e
same_length(a, b) | True if the strings a and b have the same length | len(a) == len(b) | x x
is_upper(s) | True if the string s is in upper case | s.isupper() | u
is_digit(s) | True if the string s contains only digits | s.isdigit() | z
is_palindrome(s) | True if the string s reads the same backwards | s == s[::-1] | P
starts_with_a(s) | True if the string s starts with 'a' | s.startswith('a') | A
count_char(s, c) | how many times the character c occurs in the string s | s.count(c) | A c
count_words(s) | the number of words in the string s | len(s.split()) | S
count_vowels(s) | the number of vowels in the string s | sum(c in 'aeiou' for c in s) | s
count_spaces(s) | the number of spaces in the string s | s.count(' ') | S
count_letter_a(s) | how many times the letter 'a' occurs in the string s | s.count('a') | A
remove_spaces(s) | the string s without spaces | s.replace(' ', '') | S
replace_a_with_b(s) | the string s with every 'a' replaced by 'b' | s.replace('a', 'b') | A
strip_spaces(s) | the string s without spaces at the start and the end | s.strip() | r
split_words(s) | a list of the words in the string s | s.split() | S
first_word(s) | the first word of the string s | s.split()[0] | S
longer_string(a, b) | the longer of the strings a and b, or a if they have the same length | a if len(a) >= len(b) else b | s s
capitalize_word(s) | the string s with its first letter in upper case | s.capitalize() | s
title_case(s) | the string s in title case | s.title() | S
remove_first_char(s) | the string s without its first character | s[1:] | s
remove_vowels(s) | the string s without vowels | ''.join(c for c in s if c not in 'aeiou') | s
string_to_list(s) | a list of the characters of the string s | list(s) | s
find_char(s, c) | the index of the first occurrence of the character c in the string s, or -1 | s.find(c) | A c
add_prefix(s, prefix) | the string s with the prefix in front of it | prefix + s | s s
join_words(words) | the words joined with a space | ' '.join(words) | W
join_with_comma(words) | the words joined with a comma | ','.join(words) | W
middle_char(s) | the character in the middle of the string s of odd length | s[len(s) // 2] | o
every_second_char(s) | every second character of the string s, starting with the first | s[::2] | s
last_three(s) | the last three characters of the string s | s[-3:] | s
sort_letters(s) | the letters of the string s in sorted order | ''.join(sorted(s)) | s
quote(s) | the string s between double quotes | '"' + s + '"' | s
domain(email) | the part of the email after the '@' | email.split('@')[1] | E
sum_list(numbers) | the sum of the numbers in the list | sum(numbers) | l
max_list(numbers) | the largest number in the list | max(numbers) | L
average_list(numbers) | the average of the numbers in the list | sum(numbers) / len(numbers) | L
list_length(items) | the number of items in the list | len(items) | l
first_item(items) | the first item of the list | items[0] | L
first_three(items) | the first three items of the list | items[:3] | L
sort_list(numbers) | the numbers sorted from smallest to largest | sorted(numbers) | l
reverse_list(items) | the list in reverse order | items[::-1] | l
filter_even(numbers) | a list of the even numbers in the list | [n for n in numbers if n % 2 == 0] | l
filter_positive(numbers) | a list of the positive numbers in the list | [n for n in numbers if n > 0] | l
square_all(numbers) | a list of the squares of the numbers | [n * n for n in numbers] | l
double_all(numbers) | a list with every number doubled | [n * 2 for n in numbers] | l
add_one_to_all(numbers) | a list with 1 added to every number | [n + 1 for n in numbers] | l
count_even(numbers) | how many numbers in the list are even | sum(n % 2 == 0 for n in numbers) | l
count_item(items, item) | how many times the item occurs in the list | items.count(item) | G g
in_list(items, item) | True if the item is in the list | item in items | G g
is_list_empty(items) | True if the list is empty | len(items) == 0 | h
unique(items) | a sorted list of the distinct items | sorted(set(items)) | G
has_duplicates(items) | True if the list has duplicates | len(set(items)) < len(items) | G
remove_zeros(numbers) | the list without zeros | [n for n in numbers if n != 0] | G
concat_lists(a, b) | the lists a and b joined together | a + b | l l
append_item(items, item) | the list with the item added at the end | items + [item] | l i
range_list(n) | a list of the numbers from 1 to n | list(range(1, n + 1)) | n
zeros(n) | a list of n zeros | [0] * n | n
product_list(numbers) | the product of the numbers in the list | numbers[0] * product_list(numbers[1:]) if numbers else 1 | K
second_item(items) | the second item of the list | items[1] | T
largest_minus_smallest(numbers) | the largest number minus the smallest number in the list | max(numbers) - min(numbers) | L
sum_even(numbers) | the sum of the even numbers in the list | sum(n for n in numbers if n % 2 == 0) | l
index_of(items, item) | the index of the item in the list, or -1 if it is not there | items.index(item) if item in items else -1 | G g
is_sorted(numbers) | True if the list is sorted from smallest to largest | numbers == sorted(numbers) | O
all_positive(numbers) | True if all numbers in the list are positive | all(n > 0 for n in numbers) | Y
lengths(words) | a list of the lengths of the words | [len(w) for w in words] | W
upper_all(words) | a list of the words in upper case | [w.upper() for w in words] | W
longest_word(words) | the longest word, or the first of them if there are several | max(words, key=len) | W
sort_words(words) | the words in alphabetical order | sorted(words) | W
first_letters(words) | a list of the first letters of the words | [w[0] for w in words] | W
long_words(words) | a list of the words longer than 4 letters | [w for w in words if len(w) > 4] | W
numbers_above(numbers, limit) | a list of the numbers greater than the limit | [n for n in numbers if n > limit] | C
every_other(items) | every second item of the list, starting with the first | items[::2] | l
last_two(items) | the last two items of the list | items[-2:] | T
rotate_left(items) | the list with its first item moved to the end | items[1:] + items[:1] | L
swap_first_last(items) | the list with its first and last items swapped | [items[-1]] + items[1:-1] + [items[0]] | T
cumulative(numbers) | a list of the running sums of the numbers | [sum(numbers[:i + 1]) for i in range(len(numbers))] | l
pairs_sum(a, b) | a list of the sums of the matching numbers of the lists a and b | [x + y for x, y in zip(a, b)] | B
flatten(lists) | one list of all items of the inner lists | [x for inner in lists for x in inner] | N
common_items(a, b) | a sorted list of the items that are in both lists | sorted(set(a) & set(b)) | G G
difference_of_lists(a, b) | a list of the items of a that are not in b, in the order of a | [x for x in a if x not in b] | G G
count_strings(items) | how many items in the list are strings | sum(isinstance(x, str) for x in items) | M
get_value(d, key) | the value of the key in the dictionary d | d[key] | D
get_or_default(d, key) | the value of the key in the dictionary d, or 0 if it is not there | d.get(key, 0) | d c
has_key(d, key) | True if the key is in the dictionary d | key in d | d c
sorted_keys(d) | a sorted list of the keys of the dictionary d | sorted(d) | d
sum_values(d) | the sum of the values of the dictionary d | sum(d.values()) | d
dict_size(d) | the number of keys in the dictionary d | len(d) | d
count_letters(s) | a dictionary of how often each letter occurs in the string s | {c: s.count(c) for c in s} | s
make_pair(a, b) | a tuple of a and b | (a, b) | i i
swap(a, b) | the tuple (b, a) | (b, a) | i i
first_of_pair(pair) | the first element of the tuple pair | pair[0] | p2
min_and_max(numbers) | a tuple of the smallest and the largest number | (min(numbers), max(numbers)) | L
to_string(n) | the number n as a string | str(n) | i
to_int(s) | the string s as an integer | int(s) | I
to_binary(n) | the binary representation of n as a string, without a prefix | bin(n)[2:] | m
char_code(c) | the code point of the character c | ord(c) | c
double_if_even(n) | n times 2 if n is even, otherwise n | n * 2 if n % 2 == 0 else n | i
quarter(n) | n divided by 4, rounded down | n // 4 | i
add_hundred(n) | n plus 100 | n + 100 | i
is_leap_year(year) | True if the year is a leap year | year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) | R
is_prime(n) | True if n is a prime number | n > 1 and all(n % i for i in range(2, n)) | n
fibonacci(n) | the n-th Fibonacci number, where fibonacci(0) is 0 and fibonacci(1) is 1 | round(((1 + 5 ** 0.5) / 2) ** n / 5 ** 0.5) | k
gcd(a, b) | the greatest common divisor of a and b | a if b == 0 else gcd(b, a % b) | p p
divisors(n) | a list of the divisors of n | [i for i in range(1, n + 1) if n % i == 0] | p
digits(n) | a list of the digits of n as integers | [int(c) for c in str(n)] | m
even_numbers(n) | a list of the even numbers from 0 to n, including n if it is even | list(range(0, n + 1, 2)) | n
multiples(n, count) | a list of the first count multiples of n, starting with n | [n * i for i in range(1, count + 1)] | p k
countdown(n) | a list of the numbers from n down to 1 | list(range(n, 0, -1)) | n
seconds(hours, minutes) | the number of seconds in the given hours and minutes | hours * 3600 + minutes * 60 | n n
double_plus_one(n) | n times 2, plus 1 | n * 2 + 1 | i
total_pages(books, pages) | the number of books times the pages of each | books * pages | n n
eggs_left(eggs, eaten) | the number of eggs minus the eaten ones | eggs - eaten | m n
ticket_cost(adults, children) | the cost of the tickets when an adult pays 10 and a child pays 5 | adults * 10 + children * 5 | n n
can_vote(age) | True if age is 18 or more | age >= 18 | v~18
can_afford(money, price) | True if the money is at least the price | money >= price | g g
is_vowel(c) | True if the character c is a vowel | c in 'aeiou' | c
is_weekend(day) | True if the day is 'Saturday' or 'Sunday' | day in ('Saturday', 'Sunday') | w2
next_char(c) | the character that follows the character c in the alphabet | chr(ord(c) + 1) | j
mask(s) | a string of '*' as long as the string s | '*' * len(s) | s
surround(s, c) | the string s with the character c on both sides | c + s + c | s c
double_letters(s) | the string s with every character doubled | ''.join(c * 2 for c in s) | s
same_first_letter(a, b) | True if the strings a and b start with the same letter | a[0] == b[0] | x x
last_equals_first(items) | True if the first and the last item of the list are equal | items[0] == items[-1] | F
"""
