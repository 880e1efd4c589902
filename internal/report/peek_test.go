package report
import ("testing";"os")
func TestPeek(t *testing.T){
 in:=nine(t)
 Text(os.Stdout,in,100,false); println("=====")
 TextVerify(os.Stdout,in.Verify,100,false); println("=====")
 TextSizing(os.Stdout,in.Sizing,100,false)
}
