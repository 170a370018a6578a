"""The starter set's eval problems, in train_problems.py's form: functions that no training problem asks for.

Covers: the table that build.py makes eval.jsonl from.
Does not cover: training (train_problems.py). None of these functions is the same as one of there, or as another
    of these, even with its arguments swapped (tests/starter).
"""
# ruff: noqa: E501

PROBLEMS = r"""
triple(n) | n times 3 | n * 3 | i
fourth_power(n) | n to the power of 4 | n ** 4 | k2
decrement(n) | n minus 1 | n - 1 | i
integer_divide(a, b) | a divided by b, rounded down | a // b | m p
sum_of_four(a, b, c, d) | the sum of a, b, c and d | a + b + c + d | i i i i
rectangle_perimeter(width, height) | the perimeter of a rectangle with the given width and height | 2 * (width + height) | p p
triangle_area(base, height) | half of the base times the height | base * height / 2 | p p
add_then_subtract(a, b, c) | a plus b minus c | a + b - c | p p p
cube_surface(side) | the surface area of a cube with the given side | 6 * side * side | p
days_to_minutes(days) | the number of minutes in the given days | days * 24 * 60 | n
whole_hours(minutes) | the number of whole hours in the given minutes | minutes // 60 | m
whole_dollars(cents) | the number of whole dollars in the given cents | cents // 100 | m
decades_to_years(decades) | the number of years in the given decades | decades * 10 | n
pay_with_bonus(hours, rate, bonus) | the hours times the rate, plus the bonus | hours * rate + bonus | n p n
cents(quarters, pennies) | the value in cents of the given quarters (25 each) and pennies (1 each) | 25 * quarters + pennies | n n
average_of_three(a, b, c) | the average of a, b and c | (a + b + c) / 3 | i3 i3 i3
is_odd(n) | True if n is odd | n % 2 == 1 | i
is_above_hundred(n) | True if n is greater than 100 | n > 100 | m~100
is_next(a, b) | True if b equals a plus 1 | b == a + 1 | k k
is_not_equal(a, b) | True if a and b are different | a != b | g g
is_divisible_by_five(n) | True if n is divisible by 5 | n % 5 == 0 | t
is_child(age) | True if age is less than 13 | age < 13 | v~13
is_three_digits(n) | True if n is from 100 to 999, inclusive | 100 <= n <= 999 | m~100,999
both_even(a, b) | True if both a and b are even | a % 2 == 0 and b % 2 == 0 | i i
all_equal(a, b, c) | True if a, b and c are all equal | a == b == c | H H H
either_even(a, b) | True if a or b is even | a % 2 == 0 or b % 2 == 0 | i i
is_twice(a, b) | True if a is 2 times b | a == 2 * b | k k
is_cold(temperature) | True if the temperature is below 10 | temperature < 10 | i~10,11
is_triangle(a, b, c) | True if the angles a, b and c add up to 180 | a + b + c == 180 | Q Q Q
minimum(a, b) | the smaller of a and b | min(a, b) | i i
min_of_three(a, b, c) | the smallest of a, b and c | min(a, b, c) | i i i
at_least_ten(n) | the larger of n and 10 | max(n, 10) | i~10
first_digit(n) | the first digit of the positive number n | int(str(n)[0]) | m
positive_or_negative(n) | 'positive' if n is at least 0, otherwise 'negative' | 'positive' if n >= 0 else 'negative' | i~0
day_or_night(hour) | 'day' if the hour is from 6 to 18, inclusive, otherwise 'night' | 'day' if 6 <= hour <= 18 else 'night' | X~6,18
hot_or_cold(temperature) | 'hot' if the temperature is above 25, otherwise 'cold' | 'hot' if temperature > 25 else 'cold' | v~25
sum_of_evens(n) | the sum of the even numbers from 0 to n | sum(range(0, n + 1, 2)) | n
sum_of_odds(n) | the sum of the odd numbers from 1 to n | sum(range(1, n + 1, 2)) | n
sum_of_cubes(n) | the sum of the cubes of the numbers from 1 to n | sum(i ** 3 for i in range(1, n + 1)) | n
to_lower(s) | the string s in lower case | s.lower() | u
last_char(s) | the last character of the string s | s[-1] | s
second_last_char(s) | the second to last character of the string s | s[-2] | s
first_four(s) | the first four characters of the string s | s[:4] | s
remove_ends(s) | the string s without its first and last characters | s[1:-1] | s
say_goodbye(name) | 'Goodbye, ' followed by the name | 'Goodbye, ' + name | s
add_question_mark(s) | the string s with '?' at the end | s + '?' | s
ends_with(s, suffix) | True if the string s ends with the suffix | s.endswith(suffix) | x y2
is_lower(s) | True if the string s is in lower case | s.islower() | u
is_alpha(s) | True if the string s contains only letters | s.isalpha() | z
is_longer(a, b) | True if the string a is longer than the string b | len(a) > len(b) | x x
ends_with_s(s) | True if the string s ends with 's' | s.endswith('s') | Z
count_commas(s) | the number of commas in the string s | s.count(',') | J
count_digits(s) | the number of digits in the string s | sum(c.isdigit() for c in s) | z
remove_commas(s) | the string s without commas | s.replace(',', '') | J
spaces_to_dashes(s) | the string s with every space replaced by '-' | s.replace(' ', '-') | S
split_commas(s) | a list of the parts of the string s between the commas | s.split(',') | J
last_word(s) | the last word of the string s | s.split()[-1] | S
shorter_string(a, b) | the shorter of the strings a and b, or a if they have the same length | a if len(a) <= len(b) else b | s s
initials(first, last) | the first letter of the first name followed by the first letter of the last name | first[0] + last[0] | s s
join_with_dash(words) | the words joined with a dash | '-'.join(words) | W
in_brackets(s) | the string s between '(' and ')' | '(' + s + ')' | s
username(email) | the part of the email before the '@' | email.split('@')[0] | E
min_list(numbers) | the smallest number in the list | min(numbers) | L
skip_two(items) | the list without its first two items | items[2:] | T
third_item(items) | the third item of the list | items[2] | T
sort_descending(numbers) | the numbers sorted from largest to smallest | sorted(numbers, reverse=True) | l
filter_odd(numbers) | a list of the odd numbers in the list | [n for n in numbers if n % 2 == 1] | l
filter_negative(numbers) | a list of the negative numbers in the list | [n for n in numbers if n < 0] | l
triple_all(numbers) | a list with every number tripled | [n * 3 for n in numbers] | l
negate_all(numbers) | a list of the negatives of the numbers | [-n for n in numbers] | l
count_positive(numbers) | how many numbers in the list are positive | sum(n > 0 for n in numbers) | l
not_in_list(items, item) | True if the item is not in the list | item not in items | G g
remove_second(items) | the list without its second item | items[:1] + items[2:] | T
remove_last(items) | the list without its last item | items[:-1] | L
sum_first_last(numbers) | the sum of the first and the last number in the list | numbers[0] + numbers[-1] | L
sum_positive(numbers) | the sum of the positive numbers in the list | sum(n for n in numbers if n > 0) | l
list_of_ones(n) | a list of n ones | [1] * n | n
lower_all(words) | a list of the words in lower case | [w.lower() for w in words] | U
shortest_word(words) | the shortest word, or the first of them if there are several | min(words, key=len) | W
last_letters(words) | a list of the last letters of the words | [w[-1] for w in words] | W
short_words(words) | a list of the words with fewer than 5 letters | [w for w in words if len(w) < 5] | W
numbers_below(numbers, limit) | a list of the numbers less than the limit | [n for n in numbers if n < limit] | C
any_negative(numbers) | True if any number in the list is negative | any(n < 0 for n in numbers) | Y
products(a, b) | a list of the products of the matching numbers of the lists a and b | [x * y for x, y in zip(a, b)] | B
rotate_right(items) | the list with its last item moved to the front | items[-1:] + items[:-1] | L
total_length(words) | the sum of the lengths of the words | sum(len(w) for w in words) | W
count_integers(items) | how many items in the list are integers | sum(isinstance(x, int) for x in items) | M
sorted_values(d) | a sorted list of the values of the dictionary d | sorted(d.values()) | d
max_value(d) | the largest value of the dictionary d | max(d.values()) | d
pair_difference(pair) | the first element of the tuple pair minus the second | pair[0] - pair[1] | p2
triple_tuple(a) | a tuple that contains a three times | (a, a, a) | i
ends_with_five(n) | True if the last digit of n is 5 | n % 10 == 5 | m
odd_numbers(n) | a list of the odd numbers from 1 to n | list(range(1, n + 1, 2)) | n
squares_up_to(n) | a list of the squares of the numbers from 1 to n | [i * i for i in range(1, n + 1)] | n
is_consonant(c) | True if the letter c is not a vowel | c not in 'aeiou' | c
previous_char(c) | the character that comes before the character c in the alphabet | chr(ord(c) - 1) | j
"""
